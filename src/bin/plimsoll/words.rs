//! What the engine says, in words.

use crate::units;
use plimsoll::recorded::Unit;
use plimsoll::trend::{Judgement, Pattern, Question, Recommendation, Verdict};

/// The verdict in a sentence.
pub fn headline(verdict: &Verdict) -> String {
    let sure = format!("{:.0} % sure", 100.0 * verdict.confidence);
    match verdict.judgement {
        Judgement::Leak => format!("A leak, {sure}: memory {}.", leaks(verdict.pattern)),
        Judgement::NoLeak => format!("No leak, {sure}: memory {}.", rests(verdict.pattern)),
        _ => "Too early to say whether it is a leak.".to_owned(),
    }
}

fn leaks(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Exponential => "grows ever faster",
        Pattern::Step => "grows step by step",
        _ => "grows steadily",
    }
}

fn rests(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Stable => "stays where it is",
        Pattern::Linear => "rises, but not as a leak does",
        Pattern::Exponential => "rises ever faster, but not as a leak does",
        Pattern::Step => "rises by jumps, and stays where they lead",
        Pattern::Sawtooth => "fills and is emptied, over and over",
        Pattern::Periodic => "swings, and comes back",
        Pattern::WarmUp => "rises ever more slowly, and levels off",
        _ => "does not behave as a leak does",
    }
}

/// What speaks most against a leak.
pub fn doubt(question: Question) -> &'static str {
    match question {
        Question::IsSignificant => "it does not grow by more than its noise can make",
        Question::Holds => "its growth slows down, or has stopped",
        Question::IsNew => "as much, or as large a rise, was there before",
        Question::IsGradual => "it grew at one stroke or two, not bit by bit",
        Question::IsLongEnough => "it has not grown for long enough",
        Question::HasSamples => "there are too few samples",
        Question::IsBeyondCycle => "its growth can be a part of a cycle",
        Question::IsLarge => "its growth is too small to matter",
        Question::GrowsInBlocks => "the live blocks do not grow with the bytes",
        _ => "it does not behave as a leak does",
    }
}

/// What to do, the most urgent first.
pub fn recommendations(verdict: &Verdict, unit: Unit) -> Vec<String> {
    let in_unit = |recommendation: &Recommendation| match unit {
        Unit::Bytes => recommendation.to_string(),
        Unit::Percent => in_percent(recommendation),
    };
    verdict.advice.iter().map(in_unit).collect()
}

/// The engine takes every figure for bytes.
fn in_percent(recommendation: &Recommendation) -> String {
    match *recommendation {
        Recommendation::Grows {
            subject,
            bytes_per_hour,
            seconds,
        } => format!(
            "{subject} has grown by {bytes_per_hour:.2} points/h for {}",
            units::span(seconds)
        ),
        Recommendation::Compare { seconds, .. } => format!(
            "compare two heap profiles taken {} apart: what has grown most is the leak",
            units::span(seconds)
        ),
        _ => recommendation.to_string(),
    }
}
