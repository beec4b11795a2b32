// Starts the page.

const PAINT_INTERVAL_MS = 100; // painting the page after each figure takes longer than drawing the figures

async function start() {
  const data = JSON.parse(find("data").textContent);
  const numbers = new Numbers(data.facts, await unpack(data));
  const figures = Object.entries(FIGURES).map(([id, [kind, show]]) => new Figure(id, data.charts[kind], show));
  const table = new AgentTable();
  let latest = 0;
  const draw = async (change) => {
    if (change !== latest) return; // the filter has changed again
    const started = performance.now();
    let painted = started;
    const view = viewOf(numbers, filters.first, filters.last, filters.selected);
    drawToday(view);
    drawHeadline(view);
    drawState(view);
    drawTransfers(view);
    table.draw(view);
    for (const figure of figures) figure.describe(view);
    // Measured together: after each change of the page, the browser computes the layout again.
    const widths = figures.map((figure) => figure.chart.clientWidth);
    for (const [place, figure] of figures.entries()) {
      await figure.drawChart(view, widths[place]);
      if (performance.now() - painted < PAINT_INTERVAL_MS) continue;
      await new Promise((resume) => setTimeout(resume)); // lets the browser paint
      if (change !== latest) return;
      painted = performance.now();
    }
    if (change === latest) document.body.dataset.drawnInMs = Math.round(performance.now() - started);
  };
  // Drawings run one after the other: a change of the filter waits until the current figure is drawn.
  let drawing = Promise.resolve();
  const filters = new Filters(numbers, () => {
    delete document.body.dataset.drawnInMs;
    const change = ++latest;
    drawing = drawing.then(() => draw(change)).catch(fail);
  });
  await draw(latest);
  for (const event of ["beforeprint", "afterprint"]) {
    addEventListener(event, () => {
      document.body.classList.toggle("paper", event === "beforeprint");
      dispatchEvent(new Event("resize")); // Vega draws the charts again for the new width
    });
  }
}

function fail(error) {
  find("trouble").hidden = false;
  find("trouble").textContent = "This page could not be drawn. Open it in a current browser.";
  console.error(error);
}

start().catch(fail);
