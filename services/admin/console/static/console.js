// Charts: <figure class="chart" data-chart='{"x": [seconds, ...], "series": [{"label": ..., "values": [...]}]}'>.
// The figure's table says the same to who does not see it.
function draw(figure) {
  if (figure.dataset.drawn) return;
  figure.dataset.drawn = "yes";
  const { x, series } = JSON.parse(figure.dataset.chart);
  const ink = getComputedStyle(figure);
  const grid = { stroke: ink.getPropertyValue("--line"), width: 1 };
  const axis = { stroke: ink.getPropertyValue("--soft"), grid, ticks: grid, font: "12px system-ui" };
  const colors = ["--accent", "--warm", "--bad"].map((name) => ink.getPropertyValue(name));
  const plot = new uPlot({
    width: figure.clientWidth, height: 220,
    scales: { y: { range: (_, least, most) => [Math.min(0, least), most <= 0 ? 1 : most * 1.05] } },
    axes: [{ ...axis }, { ...axis, size: 64, values: (_, ticks) => ticks.map((n) => Number.isInteger(n) ? n.toLocaleString("en") : "") }],
    series: [{}, ...series.map((one, n) => ({
      label: one.label, stroke: colors[n], width: 2, fill: n ? undefined : colors[n] + "22", points: { show: x.length < 40 },
    }))],
  }, [x, ...series.map((one) => one.values)], figure.querySelector(".plot"));
  new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: 220 })).observe(figure);
}

// A form with data-ask is sent only after a yes.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".chart").forEach(draw);
  // On a phone the tabs scroll: the present one is in sight.
  document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
});
document.addEventListener("htmx:load", (event) => event.target.querySelectorAll(".chart").forEach(draw));
