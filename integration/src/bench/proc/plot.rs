//! The results as a picture: bars on a logarithmic scale, one group for each file.

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use super::driver::FILES;
use super::outcome::{Contender, Outcome};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 520;

/// Legible on white and told apart by those who see no red.
const COLOURS: [RGBColor; 3] = [RGBColor(150, 150, 150), RGBColor(230, 159, 0), RGBColor(0, 114, 178)];

/// An SVG with one reader above and eight below.
pub(super) fn draw(outcome: &Outcome) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        let (above, below) = area.split_vertically(HEIGHT / 2);
        chart(&above, outcome, 1)?;
        chart(&below, outcome, 8)?;
        area.present().map_err(drawing)?;
    }
    Ok(text + "\n")
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart(area: &Area<'_>, outcome: &Outcome, readers: u32) -> Result<()> {
    let times = |contender| {
        let medians = FILES.iter().enumerate().filter_map(move |(index, file)| {
            let figures = outcome.find(file, contender, readers)?;
            Some((index as f64, figures.median_ns as f64 / 1000.0))
        });
        medians.collect::<Vec<_>>()
    };
    let all: Vec<_> = Contender::ALL.into_iter().flat_map(times).map(|(_, us)| us).collect();
    let highest = all.iter().copied().fold(f64::NAN, f64::max);
    let lowest = all.iter().copied().fold(f64::NAN, f64::min);
    if !highest.is_finite() {
        return Err(anyhow!("nothing was measured with {readers} readers"));
    }
    let plural = if readers == 1 { "reader" } else { "readers" };
    let caption = format!("open, read, close: median microseconds, {readers} {plural}");
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(48)
        // Room for the legend beside the last bars.
        .build_cartesian_2d(-0.5..FILES.len() as f64 + 0.5, (lowest / 2.0..highest * 2.0).log_scale())
        .map_err(drawing)?;
    let name = |position: &f64| {
        let at = |index: u32| (position - f64::from(index)).abs() < 0.01;
        let file = FILES.iter().zip(0..).find(|(_, index)| at(*index)).map(|(file, _)| file);
        let name = file.and_then(|file| file.rsplit('/').next()).unwrap_or_default();
        if name == "online" { "cpu/online".to_owned() } else { name.to_owned() }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(FILES.len() * 2)
        .x_label_formatter(&name)
        .y_label_formatter(&|us| format!("{us:.0}"))
        .draw()
        .map_err(drawing)?;
    for (place, (contender, colour)) in Contender::ALL.into_iter().zip(COLOURS).enumerate() {
        let left = -0.36 + 0.24 * place as f64;
        let bars = times(contender).into_iter().map(|(index, us)| {
            Rectangle::new([(index + left, lowest / 2.0), (index + left + 0.22, us)], colour.filled())
        });
        chart
            .draw_series(bars)
            .map_err(drawing)?
            .label(contender.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()
        .map_err(drawing)
        .context("draw the legend")
}

/// The crate's errors hold what is being drawn on.
fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("draw: {error}")
}
