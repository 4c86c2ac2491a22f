//! Samplers by number and by name, as DiffusionDB has them.

/// Names, by number from 1.
const NAMES: [&str; 9] = [
    "ddim",
    "plms",
    "k_euler",
    "k_euler_ancestral",
    "k_heun",
    "k_dpm_2",
    "k_dpm_2_ancestral",
    "k_lms",
    "others",
];

/// The name of a number; `None` for those that mean nothing.
pub(super) fn name(number: u64) -> Option<&'static str> {
    let place = usize::try_from(number).ok()?.checked_sub(1)?;
    NAMES.get(place).copied()
}

/// The number of a name, that of `others` for one that has none.
pub(crate) fn number(name: &str) -> u8 {
    (1..)
        .zip(NAMES)
        .find_map(|(number, known)| (known == name).then_some(number))
        .unwrap_or(NAMES.len() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        for (number, sampler) in (1..).zip(NAMES) {
            assert_eq!(name(number.into()), Some(sampler));
            assert_eq!(super::number(sampler), number);
        }
        assert_eq!((name(0), name(10)), (None, None));
        assert_eq!(number("dpm++ 2m"), 9);
    }
}
