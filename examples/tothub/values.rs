//! What the value of a flag can be, and what is said when it is not.

pub fn choice<const N: usize>(
    flag: &str,
    value: &str,
    choices: [&str; N],
) -> Result<usize, String> {
    choices
        .iter()
        .position(|&choice| choice == value)
        .ok_or_else(|| {
            let expected = choices.map(|choice| format!("`{choice}`")).join(" or ");
            format!("`{flag}` is `{value}`: expected {expected}")
        })
}

pub fn number(flag: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!(
            "`{flag}` is `{value}`: expected a whole number from {least} to {most}"
        )),
    }
}

/// Digits, and a unit if one is wanted.
pub fn bytes(flag: &str, value: &str) -> Result<u64, String> {
    let wrong = || format!("`{flag}` is `{value}`: expected bytes above 0, as 268435456 or 256MiB");
    let digits = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(wrong)
}
