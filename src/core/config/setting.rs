//! Defines each structure of a configuration by one table of its fields, defaults and checks.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::Problems;
use super::{
    AddressFamilies, BlockedAddressPolicy, DnsFailurePolicy, FamilyOrder, Speculation,
    SrvAliasPolicy, UserAgent, Withdrawal, duration,
};

/// A type that a field of a configuration can have: how it is serialised and checked.
pub(crate) trait Setting: Serialize + for<'de> Deserialize<'de> {
    /// Serialises the value in the form of a configuration file.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    /// Deserialises a value from the form of a configuration file.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    /// Adds the problems that the value has by itself.
    fn find_problems(&self, _: &mut Problems) {}
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
impl Setting for Withdrawal {}

/// Serialises a field, for `#[serde(with)]`.
pub(crate) fn serialize<T: Setting, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.write(serializer)
}

/// Deserialises a field, for `#[serde(with)]`.
pub(crate) fn deserialize<'de, T: Setting, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// Defines a structure of public fields, each with its default and its checks. A field without a
/// default has that of its type. Checks follow after commas: `<= other` compares with another
/// field, and `method(arguments)` calls a method of [`Problems`].
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
            fn find_problems(&self, problems: &mut $crate::core::config::check::Problems) {
                $(
                    problems.check_field(stringify!($field), &self.$field);
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
