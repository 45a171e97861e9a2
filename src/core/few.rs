//! A list that mostly has one item.

use std::slice;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list that mostly has one item, which then takes no block of memory of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Few<T> {
    One(T),
    /// None, or several.
    Many(Box<[T]>),
}

impl<T> Few<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Many(Box::default())
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut items: Vec<T>) -> Self {
        match (items.len(), items.pop()) {
            (1, Some(one)) => Self::One(one),
            (_, last) => {
                items.extend(last);
                Self::Many(items.into())
            }
        }
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list_that_it_was_made_of() {
        for items in [vec![], vec![1], vec![1, 2], vec![1, 2, 3]] {
            let few = Few::from(items.clone());
            assert_eq!(few.as_slice(), items);
            assert_eq!(matches!(few, Few::One(_)), items.len() == 1);
            let json = serde_json::to_string(&few).unwrap();
            assert_eq!(json, serde_json::to_string(&items).unwrap());
            assert_eq!(serde_json::from_str::<Few<u8>>(&json).unwrap(), few);
        }
    }
}
