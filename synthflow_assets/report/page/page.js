// Puts the page in motion.

async function start() {
  const data = JSON.parse(find("data").textContent);
  const numbers = new Numbers(data.facts, await unpack(data));
  const figures = Object.entries(FIGURES).map(([id, [kind, show]]) => new Figure(id, data.charts[kind], show));
  const table = new AgentTable();
  let latest = 0;
  const draw = async (change) => {
    const started = performance.now();
    const view = viewOf(numbers, filters.first, filters.last, filters.chosen);
    drawHeadline(view);
    drawState(view);
    table.draw(view);
    for (const figure of figures) {
      if (change !== latest) return; // the filters have changed again: only the last choice is drawn to the end
      await figure.draw(view);
      await new Promise((resume) => setTimeout(resume)); // what is drawn is seen before the rest is
    }
    if (change === latest) document.body.dataset.drawnInMs = Math.round(performance.now() - started);
  };
  // One after the other: a filter that changes while charts are drawn waits for them.
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
      dispatchEvent(new Event("resize")); // charts are drawn for the width that they have then
    });
  }
}

function fail(error) {
  find("trouble").hidden = false;
  find("trouble").textContent = "This page could not be drawn; a current browser can. ";
  console.error(error);
}

start().catch(fail);
