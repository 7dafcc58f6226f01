//! Recorded series: arbitrary bytes never panic, and what is accepted has finite figures and times
//! that only go forward.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(series) = plimsoll::recorded::read(bytes) else {
        return;
    };
    let samples = &series.samples;
    assert!(samples.len() >= 3);
    assert!(
        samples
            .windows(2)
            .all(|two| two[0].seconds < two[1].seconds)
    );
    for sample in samples {
        assert!(sample.seconds.is_finite() && sample.seconds >= 0.0);
        assert!(sample.bytes.is_finite() && sample.bytes >= 0.0);
        let blocks = sample.blocks.unwrap_or(0.0);
        assert!(blocks.is_finite() && blocks >= 0.0);
    }
    let interval = series.interval();
    assert!(interval.is_finite() && interval > 0.0);
    assert!(interval <= series.span());
});
