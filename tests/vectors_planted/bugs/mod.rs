//! The bugs, by what they are about.

mod addresses;
mod answers;
mod bodies;
mod configurations;
mod delegation;
mod lifetimes;
mod names;
mod redirects;
mod srv;

use super::case::Case;
use super::observed::{Observed, Target};

/// A bug.
pub struct Bug {
    /// What a core with it does.
    pub name: String,
    pub plant: Plant,
}

pub enum Plant {
    /// It is told something else.
    Told(Box<Telling>),
    /// It says something else.
    Says(Box<Saying>),
}

type Telling = dyn Fn(&mut Case) + Send + Sync;
type Saying = dyn Fn(&Case, &mut Observed) + Send + Sync;

pub fn all() -> Vec<Bug> {
    [
        names::bugs(),
        addresses::bugs(),
        delegation::bugs(),
        srv::bugs(),
        bodies::bugs(),
        redirects::bugs(),
        lifetimes::bugs(),
        answers::bugs(),
        configurations::bugs(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn told(name: impl Into<String>, plant: impl Fn(&mut Case) + Send + Sync + 'static) -> Bug {
    Bug { name: name.into(), plant: Plant::Told(Box::new(plant)) }
}

fn says(
    name: impl Into<String>,
    plant: impl Fn(&Case, &mut Observed) + Send + Sync + 'static,
) -> Bug {
    Bug { name: name.into(), plant: Plant::Says(Box::new(plant)) }
}

/// It says something else where it finds a target.
fn finds(
    name: impl Into<String>,
    plant: impl Fn(&Case, &mut Target) + Send + Sync + 'static,
) -> Bug {
    says(name, move |case, observed| {
        if let Ok(target) = &mut observed.outcome {
            plant(case, target);
        }
    })
}

/// The same where it finds it by this step.
fn finds_by(
    step: &'static str,
    name: impl Into<String>,
    plant: impl Fn(&Case, &mut Target) + Send + Sync + 'static,
) -> Bug {
    let name = format!("step {step}: {}", name.into());
    finds(name, move |case, target| {
        if target.step == step {
            plant(case, target);
        }
    })
}

/// An error of one kind by a step becomes one of another.
fn mistakes(step: Option<&'static str>, from: &'static str, to: &'static str) -> Bug {
    says(format!("{from} at step {step:?} is said to be {to}"), move |_, observed| {
        if let Err((kind, at)) = &mut observed.outcome
            && kind == from
            && at.as_deref() == step
        {
            to.clone_into(kind);
        }
    })
}
