// A job's steps as they come. Without this script the page shows them when it is loaded again.
const place = document.getElementById("live");
const table = document.querySelector("table.rows tbody");
const kinds = { ended: "done", failed: "failed", interrupted: "interrupted", expected: "to be done" };

if (place && "EventSource" in window) {
  const source = new EventSource(place.dataset.live);
  place.textContent = "Going on; steps appear as they come.";
  source.addEventListener("step", (event) => {
    const step = JSON.parse(event.data);
    if (!table) {
      location.reload(); // the first step: the table is not there yet
      return;
    }
    const row = table.insertRow();
    row.setAttribute("role", "row");
    const words = [kinds[step.kind] ?? "", step.text].filter(Boolean).join(" ");
    for (const [index, text] of [step.at, step.about, words].entries()) {
      const cell = document.createElement(index ? "td" : "th");
      cell.setAttribute("role", index ? "cell" : "rowheader");
      if (!index) cell.scope = "row";
      cell.textContent = text; // never markup
      row.append(cell);
    }
    place.textContent = `${step.about} ${words}`;
  });
  source.addEventListener("over", () => {
    source.close();
    location.reload();
  });
}
