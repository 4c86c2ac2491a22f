//! A column of lists, in whichever of Arrow's forms a tool has written it.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};

/// Lists of values.
pub(super) struct Lists {
    /// Those of all rows.
    pub(super) values: ArrayRef,
    lists: ArrayRef,
}

impl Lists {
    /// The lists of a column; `None` if it holds something else.
    pub(super) fn of(lists: ArrayRef) -> Option<Self> {
        let values = if let Some(lists) = lists.as_list_opt::<i32>() {
            lists.values()
        } else if let Some(lists) = lists.as_list_opt::<i64>() {
            lists.values()
        } else {
            lists.as_fixed_size_list_opt()?.values()
        };
        Some(Self {
            values: values.clone(),
            lists,
        })
    }

    /// Where the values of a row are; `None` if it has no list.
    pub(super) fn row(&self, row: usize) -> Option<Range<usize>> {
        if self.lists.is_null(row) {
            return None;
        }
        if let Some(lists) = self.lists.as_list_opt::<i32>() {
            let bounds = lists.value_offsets();
            return Some(bounds[row] as usize..bounds[row + 1] as usize);
        }
        if let Some(lists) = self.lists.as_list_opt::<i64>() {
            let bounds = lists.value_offsets();
            return Some(bounds[row] as usize..bounds[row + 1] as usize);
        }
        let lists = self.lists.as_fixed_size_list_opt()?;
        let length = lists.value_length() as usize;
        Some(row * length..(row + 1) * length)
    }
}
