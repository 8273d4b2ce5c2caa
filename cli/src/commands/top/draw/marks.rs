//! Numbers as marks: bars, curves of one line, spans of time.

/// Marks of rising height.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Marks of rising width, from nothing on.
const WIDTHS: [char; 8] = ['░', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The last `width` values as a curve of one line, the largest of them at full height. Fewer values stand
/// at its right end.
pub(super) fn curve(values: &[u64], width: usize) -> String {
    let values = &values[values.len().saturating_sub(width)..];
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    let mut curve = " ".repeat(width - values.len());
    // Anything at all is to be seen.
    curve.extend(values.iter().map(|value| {
        let height = (u128::from(*value) * 7).div_ceil(u128::from(top)) as usize;
        HEIGHTS[height.min(7)]
    }));
    curve
}

/// A bar of `width` characters, of which a share is filled.
pub(super) fn bar(share: f64, width: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * 8.0 * width as f64).round() as usize;
    let full = (eighths / 8).min(width);
    let mut bar = "█".repeat(full);
    if full < width {
        bar.push(WIDTHS[eighths % 8]);
        bar.push_str(&"░".repeat(width - full - 1));
    }
    bar
}

/// A span of time, in two units at most.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match ms {
        ..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{minutes} min {:02} s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// A number in groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_rise_to_their_largest_value() {
        assert_eq!(curve(&[0, 1, 50, 100], 6), "  ▁▂▅█");
        assert_eq!(curve(&[9, 9, 0, 7, 7], 3), "▁██");
        assert_eq!(curve(&[], 2), "  ");
        assert_eq!(curve(&[0, 0], 2), "▁▁");
        assert_eq!(curve(&[u64::MAX, 1], 2), "█▂");
    }

    #[test]
    fn bars_are_as_long_as_they_are_wide() {
        assert_eq!(bar(0.0, 4), "░░░░");
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!(bar(0.53, 4), "██▏░");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(7.0, 4), "████");
        assert_eq!(bar(f64::NAN, 3).chars().count(), 3);
    }

    #[test]
    fn spans_are_short() {
        let shown = [1_234, 59_999, 61_000, 7_260_000, 90_000_000].map(span);
        assert_eq!(shown, ["1.2 s", "59 s", "1 min 01 s", "2 h 01 min", "1 d 01 h"]);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
