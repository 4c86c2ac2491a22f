//! Errors as they are told.

/// What an error says, without the trace of calls that candle adds where one is asked for.
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut bare = error.downcast_ref::<candle_core::Error>();
    while let Some(candle_core::Error::WithBacktrace { inner, .. }) = bare {
        bare = Some(inner);
    }
    bare.map_or_else(|| error.to_string(), ToString::to_string)
}

/// An error and its causes on one line, each after a colon. A cause whose words its error repeats is
/// left out.
pub fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = words(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let words = words(cause);
        if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
        next = cause.source();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
