//! One table for each structure of a configuration: its fields, their defaults and their checks.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::Problems;
use super::{
    AddressFamilies, BlockedAddressPolicy, DnsFailurePolicy, FamilyOrder, Speculation,
    SrvAliasPolicy, UserAgent, duration,
};

/// The type of a field of a configuration: how it is written, and what can be wrong with it.
pub(crate) trait Setting: Serialize + for<'de> Deserialize<'de> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    /// Adds the problems that the value has by itself.
    fn find(&self, _: &mut Problems) {}
}

impl Setting for Duration {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&duration::print(*self))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration::deserialize(deserializer)
    }
}

impl Setting for bool {}
impl Setting for u8 {}
impl Setting for u16 {}
impl Setting for u32 {}
impl Setting for usize {}
impl Setting for Speculation {}
impl Setting for AddressFamilies {}
impl Setting for FamilyOrder {}
impl Setting for BlockedAddressPolicy {}
impl Setting for DnsFailurePolicy {}
impl Setting for SrvAliasPolicy {}
impl Setting for UserAgent {}

/// Writes a field; for `#[serde(with)]`.
pub(crate) fn serialize<T: Setting, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.write(serializer)
}

/// Reads a field; for `#[serde(with)]`.
pub(crate) fn deserialize<'de, T: Setting, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// Defines a structure of public fields, each with its default and its check. Without a default it
/// is that of the field's type. Checks follow after commas: `<= other` compares with another field,
/// and `method(arguments)` is one of [`Problems`].
macro_rules! settings {
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (
        $(#[$of_structure:meta])*
        pub struct $name:ident {
            $(
                $(#[$of_field:meta])*
                $field:ident: $type:ty $(= $default:expr)?
                    $(, <= $other:ident)?
                    $(, $check:ident($($argument:expr),*))*;
            )*
        }
    ) => {
        $(#[$of_structure])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$of_field])* #[serde(with = "crate::core::config::setting")] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                use $crate::core::config::setting::settings;
                Self { $($field: settings!(@default $($default)?),)* }
            }
        }

        impl $name {
            /// Checks every value and returns each one that cannot work or that contradicts
            /// another.
            pub fn check(&self) -> Result<(), $crate::core::config::ConfigError> {
                $crate::core::config::check::Problems::of(self)
            }
        }

        impl $crate::core::config::setting::Setting for $name {
            fn find(&self, problems: &mut $crate::core::config::check::Problems) {
                $(
                    problems.section(stringify!($field), &self.$field);
                    $(problems.ordered(
                        (stringify!($field), self.$field),
                        (stringify!($other), self.$other),
                    );)?
                    $(problems.$check(stringify!($field), self.$field, $($argument),*);)*
                )*
            }
        }
    };
}
pub(crate) use settings;
