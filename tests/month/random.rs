//! Draws from a seed.

use std::time::Duration;

/// `SplitMix64`, as good as is needed here.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// One of many streams that do not repeat one another.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Between 0 and 1.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// A wait for what comes by chance, on average so often.
    pub(crate) fn wait(&mut self, average: Duration) -> Duration {
        average.mul_f64(-self.fraction().max(1e-12).ln())
    }

    /// Any length between the two, short ones as often as long ones.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = (most.as_secs_f64() / least.as_secs_f64()).ln();
        least.mul_f64((span * self.fraction()).exp())
    }
}

/// Draws ranks: the second half as often as the first, the third a third as often, ...
#[derive(Debug)]
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn new(count: u32) -> Self {
        let mut sum = 0.0;
        let add = |rank: u32| {
            sum += 1.0 / f64::from(rank + 1);
            sum
        };
        Self((0..count).map(add).collect())
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let at = random.fraction() * self.0.last().unwrap();
        u32::try_from(self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)).unwrap()
    }
}

#[test]
fn popular_names_are_drawn_by_rank() {
    let (zipf, mut random) = (Zipf::new(100), Random::new(1, 0));
    let mut drawn = [0_u32; 100];
    (0..100_000).for_each(|_| drawn[zipf.draw(&mut random) as usize] += 1);
    assert!(drawn.iter().all(|count| *count > 0));
    assert!((18..22).contains(&(drawn[0] * 10 / drawn[1])), "{drawn:?}");
    assert!((9..11).contains(&(drawn[0] / drawn[9])), "{drawn:?}");
}
