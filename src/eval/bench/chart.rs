//! Line charts as SVG.

use maud::{Markup, html};

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;

/// One curve: colour, points, and half the length of the bar at each.
pub(super) struct Curve {
    pub name: String,
    pub colour: &'static str,
    pub points: Vec<(f64, f64, f64)>,
}

/// Axes are a name and the values at both ends.
pub(super) struct Chart<'a> {
    pub title: String,
    pub x: (&'a str, f64, f64),
    pub y: (&'a str, f64, f64),
    pub x_ticks: Vec<f64>,
    pub dots: bool,
    pub curves: Vec<Curve>,
}

/// A coordinate.
fn at(value: f64) -> String {
    format!("{value:.1}")
}

impl Chart<'_> {
    fn at_x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.1) / span(self.x.1, self.x.2) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value - self.y.1) / span(self.y.1, self.y.2) * (HEIGHT - TOP - BOTTOM)
    }

    /// The chart as a figure.
    pub fn figure(&self) -> Markup {
        let (middle_x, middle_y) = (at((LEFT + WIDTH - RIGHT) / 2.0), at((TOP + HEIGHT - BOTTOM) / 2.0));
        html! {
            figure {
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img"
                    aria-label=(self.title) {
                    text x=(LEFT) y="17" font-weight="600" { (self.title) }
                    @for i in 0..=4 {
                        (self.grid_line(self.y.1 + f64::from(i) / 4.0 * (self.y.2 - self.y.1)))
                    }
                    @for &v in &self.x_ticks {
                        text x=(at(self.at_x(v))) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (v) }
                    }
                    text x=(middle_x) y=(HEIGHT - 6.0) text-anchor="middle" { (self.x.0) }
                    @for curve in &self.curves { (self.curve(curve)) }
                    text transform={ "translate(12 " (middle_y) ") rotate(-90)" } text-anchor="middle" {
                        (self.y.0)
                    }
                }
            }
        }
    }

    fn grid_line(&self, value: f64) -> Markup {
        let y = self.at_y(value);
        html! {
            line class="grid" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y)) y2=(at(y)) {}
            text x=(LEFT - 6.0) y=(at(y + 4.0)) text-anchor="end" { (format!("{value:.2}")) }
        }
    }

    fn curve(&self, curve: &Curve) -> Markup {
        let Curve { name, colour, points } = curve;
        let line: Vec<String> =
            points.iter().map(|(x, y, _)| format!("{:.1},{:.1}", self.at_x(*x), self.at_y(*y))).collect();
        html! {
            polyline class="line" stroke=(colour) points=(line.join(" ")) { title { (name) } }
            @for &(x, y, bar) in points.iter().filter(|_| self.dots) {
                @let cx = at(self.at_x(x));
                @if bar > 0.0 {
                    @let (low, high) = (self.at_y(y - bar), self.at_y((y + bar).min(self.y.2)));
                    line stroke=(colour) x1=(cx) x2=(cx) y1=(at(low)) y2=(at(high)) {}
                }
                circle cx=(cx) cy=(at(self.at_y(y))) r="3" fill=(colour) {
                    title { (name) " " (format!("{y:.3}")) }
                }
            }
        }
    }
}

fn span(low: f64, high: f64) -> f64 {
    if high > low { high - low } else { 1.0 }
}
