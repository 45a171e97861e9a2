//! Turns in two lanes, so that those who are done quickly do not wait behind those who take long.
//!
//! | lane | who has a turn there | who waits for one |
//! | --- | --- | --- |
//! | quick | who has begun a short while ago | first those of whom something good is known, then the others |
//! | slow | who has taken longer than others lately | who took long before |
//!
//! - Each lane has a limit on its turns, and so have both together ([`Limits`]). Those who wait are served
//!   in the order in which they came.
//! - Whoever takes longer than others lately ([`Lanes::patience`]) calls [`Turn::slow_down`]. Its turn in the
//!   quick lane goes to the next in line as soon as there is room for it in the slow one.
//! - Whoever has to wait has those asked first who hold turns without needing them ([`Idle`]).
//! - While somebody waits for the quick lane and others are to move to a slow lane that is full, as many there
//!   are called back ([`Turn::called_back`]): those who have been there for longest, but nobody who has not
//!   had [`grace`](Limits::grace).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{Either, select};

use super::{Runtime, within};
use crate::core::time::nanos;

/// Where somebody waits for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// For the quick lane, before the others.
    First,
    /// For the quick lane.
    Quick,
    /// For the slow lane.
    Slow,
}

/// Why there was no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// There is none at all, or too many wait.
    Full,
    /// None became free in time.
    Late,
}

/// A turn was given up for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CalledBack;

/// How long somebody may take before it counts as slow: this part of what half of the others take, within
/// bounds. With three quarters, what takes for ever costs those who wait less than what is quick; whoever is
/// a little slower than others loses nothing as long as there is room in the slow lane.
const PATIENCE: (u32, u32) = (3, 4);
const LEAST_PATIENCE: Duration = Duration::from_millis(20);
/// What half of the turns are taken to need before any was taken.
const FIRST_TYPICAL: Duration = Duration::from_millis(200);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// How often those who hold what they do not need are asked while somebody waits.
const RECLAIM_EVERY: Duration = Duration::from_millis(100);

/// How many turns there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// At most this many in the quick lane, ...
    pub(crate) quick: usize,
    /// ... this many in the slow lane, ...
    pub(crate) slow: usize,
    /// ... and this many in both.
    pub(crate) both: usize,
    /// At most this many wait.
    pub(crate) waiting: usize,
    /// How long everybody has a turn before it is called back.
    pub(crate) grace: Duration,
}

/// Holds turns that it does not need now, such as a pool of connections.
pub(crate) trait Idle: Send + Sync + fmt::Debug {
    /// Gives up the one that it has needed least lately, if it has one to give up.
    fn give_up_one(&self);
}

/// Turns in two lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    limits: Limits,
    idle: Mutex<Vec<Weak<dyn Idle>>>,
    /// What half of the turns took lately, in nanoseconds.
    typical: AtomicU64,
    state: Mutex<State>,
}

/// A turn. When it is dropped, the next in line gets it.
#[derive(Debug)]
pub(crate) struct Turn {
    lanes: Arc<Lanes>,
    id: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The next number, of a turn or of a position in an order.
    next: u64,
    /// Those who wait, by number, with who is to be told.
    lines: Lines,
    /// Who has a turn.
    turns: HashMap<u64, Held>,
    /// How many turns there are in the quick lane.
    quick: usize,
    /// Who is to move to the slow lane, and who is there: each with its turn, in the order in which they
    /// came there.
    moving: BTreeMap<u64, u64>,
    slow: BTreeMap<u64, u64>,
    /// How many of those in the slow lane were called back.
    slow_called: usize,
}

/// Those who wait in each lane.
#[derive(Debug, Default)]
struct Lines {
    first: Line,
    quick: Line,
    slow: Line,
}

/// Those who wait in one lane, in order.
type Line = BTreeMap<u64, Option<Waker>>;

impl Lines {
    const fn of(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::First => &mut self.first,
            Lane::Quick => &mut self.quick,
            Lane::Slow => &mut self.slow,
        }
    }

    fn len(&self) -> usize {
        self.first.len() + self.quick.len() + self.slow.len()
    }
}

#[derive(Debug, Default)]
struct Held {
    place: Place,
    /// Whether it has had [`Limits::grace`].
    had_grace: bool,
    called_back: bool,
    waker: Option<Waker>,
}

/// Where a turn is, with its position in an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Quick,
    Moving(u64),
    Slow(u64),
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        let typical = AtomicU64::new(nanos(FIRST_TYPICAL));
        Self { limits, idle: Mutex::default(), typical, state: Mutex::default() }
    }

    /// Has this one asked whenever somebody has to wait.
    #[cfg(any(feature = "client", test))]
    pub(crate) fn add_idle(&self, idle: Weak<dyn Idle>) {
        let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|it| it.strong_count() > 0);
        all.push(idle);
    }

    /// Asks for one turn that is not needed.
    fn reclaim(&self) {
        let all = self.idle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().filter_map(Weak::upgrade).for_each(|it| it.give_up_one());
    }

    /// Returns how many turns there are.
    pub(crate) const fn size(&self) -> usize {
        self.limits.both
    }

    /// Returns how long somebody may take before it counts as slow.
    pub(crate) fn patience(&self) -> Duration {
        let typical = Duration::from_nanos(self.typical.load(Ordering::Relaxed));
        (typical * PATIENCE.0 / PATIENCE.1).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }

    /// Learns how long somebody took. What half of all take is followed in small steps, so that neither
    /// how long the others take nor one of them alone moves it.
    fn learn(&self, took: Duration) {
        let typical = self.typical.load(Ordering::Relaxed);
        let step = typical / 16 + 1;
        let next = if nanos(took) > typical { typical + step } else { typical - step.min(typical) };
        // One that is lost to another thread is not missed.
        self.typical.store(next.min(nanos(MOST_PATIENCE)), Ordering::Relaxed);
    }

    /// Returns whether a turn in the quick lane is free and nobody waits.
    pub(crate) fn has_free(&self) -> bool {
        self.lock().has_free(self, self.limits.quick)
    }

    /// Takes a turn in the quick lane, if one is free and nobody waits.
    pub(crate) fn free_turn(self: &Arc<Self>) -> Option<Turn> {
        self.turn_of(self.limits.quick)
    }

    /// Takes a turn in the quick lane, if at least half of them are free and nobody waits.
    pub(crate) fn spare_turn(self: &Arc<Self>) -> Option<Turn> {
        self.turn_of(self.limits.quick / 2)
    }

    /// Takes one of the first `count` turns in the quick lane, if it is free and nobody waits.
    fn turn_of(self: &Arc<Self>, count: usize) -> Option<Turn> {
        let mut state = self.lock();
        if !state.has_free(self, count) {
            return None;
        }
        let id = state.number();
        state.grant(id, Lane::Quick);
        Some(Turn { lanes: Arc::clone(self), id })
    }

    /// Waits for a turn, at most this long.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        lane: Lane,
        runtime: &dyn Runtime,
        wait: Duration,
    ) -> Result<Turn, NoTurn> {
        let mut in_line = self.line_up(lane).ok_or(NoTurn::Full)?;
        // Most do not wait.
        if let Some(turn) = in_line.granted() {
            return Ok(turn);
        }
        let mut left = wait;
        // Ends: each round takes some of the time that is left.
        while !left.is_zero() {
            self.reclaim();
            let round = left.min(RECLAIM_EVERY);
            if let Some(turn) = within(runtime, round, &mut in_line).await {
                return Ok(turn);
            }
            left -= round;
        }
        Err(NoTurn::Late)
    }

    fn line_up(self: &Arc<Self>, lane: Lane) -> Option<InLine> {
        // Without a slow lane all are in one.
        let lane = if self.limits.slow == 0 && lane == Lane::Slow { Lane::Quick } else { lane };
        let mut state = self.lock();
        let size = if lane == Lane::Slow { self.limits.slow } else { self.limits.quick };
        if size == 0 {
            return None;
        }
        let id = state.number();
        state.lines.of(lane).insert(id, None);
        let woken = state.settle(self);
        if state.lines.of(lane).contains_key(&id) && state.lines.len() > self.limits.waiting {
            state.lines.of(lane).remove(&id);
            return None;
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Some(InLine { lanes: Arc::clone(self), lane, id, done: false })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and then tells those whose turn it is.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let woken = state.settle(self);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn has_free(&self, lanes: &Lanes, of: usize) -> bool {
        self.quick < of && self.has_room(lanes) && self.waits_for_quick() == 0
    }

    fn has_room(&self, lanes: &Lanes) -> bool {
        self.turns.len() < lanes.limits.both
    }

    fn waits_for_quick(&self) -> usize {
        self.lines.first.len() + self.lines.quick.len()
    }

    fn grant(&mut self, id: u64, lane: Lane) {
        let place = if lane == Lane::Slow {
            let at = self.number();
            self.slow.insert(at, id);
            Place::Slow(at)
        } else {
            self.quick += 1;
            Place::Quick
        };
        self.turns.insert(id, Held { place, ..Held::default() });
    }

    /// Ends a turn, if there is such a one.
    fn end(&mut self, id: u64) {
        if let Some(held) = self.turns.remove(&id) {
            self.take_from(held.place, held.called_back);
        }
    }

    /// Removes a turn from where it is.
    fn take_from(&mut self, place: Place, called_back: bool) {
        match place {
            Place::Quick => self.quick -= 1,
            Place::Moving(at) => {
                self.quick -= 1;
                self.moving.remove(&at);
            }
            Place::Slow(at) => {
                self.slow.remove(&at);
                self.slow_called -= usize::from(called_back);
            }
        }
    }

    /// Moves a turn to another place, unless it is on its way out.
    fn put(&mut self, id: u64, to: impl FnOnce(&mut Self, u64) -> Place) {
        let Some(held) = self.turns.get(&id).filter(|it| !it.called_back) else { return };
        let from = held.place;
        self.take_from(from, false);
        let place = to(self, id);
        if let Some(held) = self.turns.get_mut(&id) {
            held.place = place;
        }
    }

    /// Gives out what is free, and calls back what is to become free. Returns who is to be told.
    fn settle(&mut self, lanes: &Lanes) -> Vec<Waker> {
        let mut woken = Vec::new();
        // Ends: each turn moves one, or takes one out of a line.
        loop {
            if self.slow.len() < lanes.limits.slow
                && let Some((_, id)) = self.moving.first_key_value().map(|(at, id)| (*at, *id))
            {
                self.put(id, |state, id| {
                    let at = state.number();
                    state.slow.insert(at, id);
                    Place::Slow(at)
                });
                continue;
            }
            let lane = if !self.has_room(lanes) {
                break;
            } else if self.quick < lanes.limits.quick && !self.lines.first.is_empty() {
                Lane::First
            } else if self.quick < lanes.limits.quick && !self.lines.quick.is_empty() {
                Lane::Quick
            } else if self.slow.len() < lanes.limits.slow && !self.lines.slow.is_empty() {
                Lane::Slow
            } else {
                break;
            };
            if let Some((id, waker)) = self.lines.of(lane).pop_first() {
                self.grant(id, lane);
                woken.extend(waker);
            }
        }
        let wanted = self.waits_for_quick().min(self.moving.len()).min(self.slow.len());
        self.call_back(wanted.saturating_sub(self.slow_called), &mut woken);
        woken
    }

    /// Calls back this many more of those in the slow lane, the longest there first, up to one who has not
    /// had [`Limits::grace`].
    fn call_back(&mut self, count: usize, woken: &mut Vec<Waker>) {
        let mut left = count;
        for id in self.slow.values() {
            let Some(held) = self.turns.get_mut(id) else { continue };
            if left == 0 || !held.had_grace {
                break;
            }
            if !held.called_back {
                held.called_back = true;
                self.slow_called += 1;
                woken.extend(held.waker.take());
                left -= 1;
            }
        }
    }
}

/// Somebody in line. It leaves the line when it is dropped.
struct InLine {
    lanes: Arc<Lanes>,
    lane: Lane,
    id: u64,
    done: bool,
}

impl InLine {
    fn granted(&mut self) -> Option<Turn> {
        if !self.lanes.lock().turns.contains_key(&self.id) {
            return None;
        }
        self.done = true;
        Some(Turn { lanes: Arc::clone(&self.lanes), id: self.id })
    }
}

impl Future for InLine {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn> {
        {
            let mut state = self.lanes.lock();
            if let Some(waker) = state.lines.of(self.lane).get_mut(&self.id) {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.granted().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (lane, id) = (self.lane, self.id);
        self.lanes.change(|state| {
            // Its turn may have come without its having looked.
            if state.lines.of(lane).remove(&id).is_none() {
                state.end(id);
            }
        });
    }
}

impl Turn {
    /// Has this turn count as slow from now on.
    pub(crate) fn slow_down(&self) {
        self.lanes.change(|state| {
            if state.turns.get(&self.id).is_some_and(|it| it.place == Place::Quick) {
                state.put(self.id, |state, id| {
                    state.quick += 1;
                    let at = state.number();
                    state.moving.insert(at, id);
                    Place::Moving(at)
                });
            }
        });
    }

    /// Has this turn no longer count as slow.
    #[cfg(feature = "client")]
    pub(crate) fn speed_up(&self) {
        self.lanes.change(|state| {
            state.put(self.id, |state, _| {
                state.quick += 1;
                Place::Quick
            });
        });
    }

    /// Says that this turn has had [`Limits::grace`].
    fn end_grace(&self) {
        self.lanes.change(|state| {
            if let Some(held) = state.turns.get_mut(&self.id) {
                held.had_grace = true;
            }
        });
    }

    /// Completes when this turn is wanted back.
    pub(crate) async fn called_back(&self) {
        poll_fn(|context| {
            let mut state = self.lanes.lock();
            match state.turns.get_mut(&self.id) {
                Some(held) if !held.called_back => {
                    held.waker = Some(context.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Runs a future in this turn. It slows down if that takes longer than others take.
    pub(crate) async fn run<T>(
        &self,
        runtime: &dyn Runtime,
        future: impl Future<Output = T>,
    ) -> Result<T, CalledBack> {
        let begun = runtime.monotonic();
        let mut future = pin!(future);
        let patience = self.lanes.patience();
        let mut output = within(runtime, patience, &mut future).await;
        if output.is_none() {
            self.slow_down();
            output = within(runtime, self.lanes.limits.grace.saturating_sub(patience), &mut future)
                .await;
        }
        let output = if let Some(output) = output {
            Ok(output)
        } else {
            self.end_grace();
            match select(future, pin!(self.called_back())).await {
                Either::Left((output, _)) => Ok(output),
                Either::Right(((), _)) => Err(CalledBack),
            }
        };
        self.lanes.learn(runtime.monotonic().since(begun));
        output
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lanes.change(|state| state.end(self.id));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::testing::VirtualTime;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn lanes(quick: usize, slow: usize, both: usize) -> Arc<Lanes> {
        let grace = millis(100);
        Arc::new(Lanes::new(Limits { quick, slow, both, waiting: 100, grace }))
    }

    /// Lines up, and waits for a turn for as long as it is polled.
    fn line_up(lanes: &Arc<Lanes>, lane: Lane) -> InLine {
        lanes.line_up(lane).expect("it to be let in")
    }

    fn turn(lanes: &Arc<Lanes>, lane: Lane) -> Turn {
        line_up(lanes, lane).now_or_never().expect("a turn to be free")
    }

    fn is_called_back(turn: &Turn) -> bool {
        turn.called_back().now_or_never().is_some()
    }

    #[test]
    fn turns_come_in_order_and_those_of_whom_something_is_known_first() {
        let lanes = lanes(1, 0, 1);
        let held = turn(&lanes, Lane::Quick);
        let mut others = [Lane::Quick, Lane::First, Lane::Quick, Lane::First, Lane::Slow]
            .map(|lane| Some(line_up(&lanes, lane)));
        let mut held = Some(held);
        // Without a slow lane, all are in one.
        for expected in [1, 3, 0, 2, 4] {
            assert!(others.iter_mut().flatten().all(|it| it.now_or_never().is_none()));
            drop(held.take());
            held = others[expected].take().unwrap().now_or_never();
            assert!(held.is_some(), "{expected}");
        }
        drop(held);
        assert_eq!(lanes.lock().turns.len(), 0);
    }

    #[test]
    fn one_who_takes_long_makes_room_and_goes_on() {
        let lanes = lanes(1, 1, 2);
        let long = turn(&lanes, Lane::Quick);
        let mut next = line_up(&lanes, Lane::Quick);
        assert!((&mut next).now_or_never().is_none());
        long.slow_down();
        let next = next.now_or_never().expect("the turn of the other");
        assert!(!is_called_back(&long) && !is_called_back(&next));
        // Those who took long before wait for the slow lane alone.
        let mut slow = line_up(&lanes, Lane::Slow);
        drop(next);
        assert!((&mut slow).now_or_never().is_none());
        drop(long);
        assert!(slow.now_or_never().is_some());
    }

    #[test]
    fn the_longest_in_the_slow_lane_is_called_back_after_its_grace_if_others_wait() {
        let lanes = lanes(2, 2, 4);
        let slow: Vec<Turn> = (0..2).map(|_| turn(&lanes, Lane::Slow)).collect();
        let quick: Vec<Turn> = (0..2).map(|_| turn(&lanes, Lane::Quick)).collect();
        quick[0].slow_down();
        assert!(slow.iter().chain(&quick).all(|it| !is_called_back(it)), "nobody waits");
        let mut next = line_up(&lanes, Lane::Quick);
        assert!(slow.iter().all(|it| !is_called_back(it)), "all are in their grace");
        slow.iter().for_each(Turn::end_grace);
        assert!(is_called_back(&slow[0]) && !is_called_back(&slow[1]));
        assert!((&mut next).now_or_never().is_none());
        let mut slow = slow.into_iter();
        drop(slow.next());
        assert!(next.now_or_never().is_some());
        // Nobody waits any more.
        assert!(!is_called_back(&slow.next().unwrap()));
    }

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Turn>>);

    impl Idle for Kept {
        fn give_up_one(&self) {
            drop(self.0.lock().unwrap().pop());
        }
    }

    #[test]
    fn what_is_not_needed_is_given_up_before_anybody_waits() {
        let (lanes, time) = (lanes(2, 1, 2), VirtualTime::new());
        let kept = Arc::new(Kept::default());
        lanes.add_idle(Arc::downgrade(&kept) as Weak<dyn Idle>);
        lanes.add_idle(Arc::downgrade(&Arc::new(Kept::default())) as Weak<dyn Idle>);
        kept.0.lock().unwrap().extend([turn(&lanes, Lane::Quick), turn(&lanes, Lane::Quick)]);
        let next = || lanes.turn(Lane::Quick, &time, millis(5)).now_or_never();
        let (first, second) = (next().unwrap(), next().unwrap());
        assert!(first.is_ok() && second.is_ok() && next().is_none());
        drop(kept);
        assert!(next().is_none());
        // Those who are gone are forgotten.
        lanes.add_idle(Arc::downgrade(&Arc::new(Kept::default())) as Weak<dyn Idle>);
        assert_eq!(lanes.idle.lock().unwrap().len(), 1);
    }

    #[test]
    fn one_who_leaves_the_line_leaves_nothing_behind() {
        let lanes = lanes(1, 1, 1);
        let held = turn(&lanes, Lane::Quick);
        let in_line = [Lane::First, Lane::Quick, Lane::Slow].map(|lane| line_up(&lanes, lane));
        drop(held);
        // The first has a turn that it never looked at.
        drop(in_line);
        let state = lanes.lock();
        assert_eq!((state.turns.len(), state.quick, state.slow.len()), (0, 0, 0));
        assert_eq!(state.lines.len(), 0);
    }

    #[test]
    fn with_no_turns_or_too_many_in_line_one_is_refused_at_once() {
        let time = VirtualTime::new();
        let refused = |lanes: &Arc<Lanes>, lane| {
            let turn = lanes.turn(lane, &time, millis(5)).now_or_never();
            turn.expect("an answer at once").expect_err("no turn")
        };
        for lane in [Lane::First, Lane::Quick, Lane::Slow] {
            assert_eq!(refused(&lanes(0, 0, 0), lane), NoTurn::Full);
        }
        let limits = Limits { quick: 1, slow: 1, both: 2, waiting: 1, grace: millis(100) };
        let lanes = Arc::new(Lanes::new(limits));
        let _held = turn(&lanes, Lane::Quick);
        let in_line = line_up(&lanes, Lane::Quick);
        assert_eq!(refused(&lanes, Lane::First), NoTurn::Full);
        drop(in_line);
        let mut late = Box::pin(lanes.turn(Lane::First, &time, millis(5)));
        assert!((&mut late).now_or_never().is_none());
        time.advance(millis(5));
        assert_eq!(late.now_or_never().map(Result::err), Some(Some(NoTurn::Late)));
    }

    #[test]
    fn patience_follows_what_half_of_them_take() {
        let lanes = lanes(1, 1, 2);
        assert_eq!(lanes.patience(), millis(150));
        // A third that takes for ever does not move it far.
        for round in 0..3000 {
            lanes.learn(if round % 3 == 0 { millis(15_000) } else { millis(400) });
        }
        assert!((millis(270)..millis(340)).contains(&lanes.patience()), "{:?}", lanes.patience());
        (0..300).for_each(|_| lanes.learn(Duration::ZERO));
        assert_eq!(lanes.patience(), LEAST_PATIENCE);
        (0..3000).for_each(|_| lanes.learn(Duration::MAX));
        assert_eq!(lanes.patience(), MOST_PATIENCE * PATIENCE.0 / PATIENCE.1);
    }

    #[test]
    fn what_runs_in_a_turn_slows_down_and_is_broken_off_for_others() {
        let (lanes, time) = (lanes(1, 1, 2), VirtualTime::new());
        assert_eq!(lanes.patience(), millis(150));
        let run = |lane| {
            let (held, time) = (turn(&lanes, lane), time.clone());
            Box::pin(async move { held.run(&time, std::future::pending::<()>()).await })
        };
        let (mut slow, mut quick) = (run(Lane::Slow), run(Lane::Quick));
        let next = line_up(&lanes, Lane::Quick);
        // The grace is over, but nobody is to move to the slow lane until the patience ends.
        for (after, broken_off) in [(0, false), (149, false), (1, true)] {
            time.advance(millis(after));
            assert!((&mut quick).now_or_never().is_none());
            let came = (&mut slow).now_or_never();
            assert_eq!(came, broken_off.then_some(Err(CalledBack)), "{after}");
        }
        // The other is in the slow lane now.
        assert!((&mut quick).now_or_never().is_none() && next.now_or_never().is_some());
    }
}
