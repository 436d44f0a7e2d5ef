"use strict";

// Tables: a click on a title, or Enter on it, sorts the rows by that column; a second click reverses the order, a third
// restores that of the document. Cells without a value stay last.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const order = {none: "ascending", ascending: "descending", descending: "none"}[head.getAttribute("aria-sort")];
      for (const other of heads) other.setAttribute("aria-sort", other === head ? order : "none");
      body.append(...(order === "none" ? rows : sorted(rows, column, order === "descending" ? -1 : 1)));
    });
  });
}

function sorted(rows, column, sign) {
  const text = row => row.cells[column].textContent;
  const number = row => parseFloat(text(row).replaceAll(",", "").replace("\u2212", "-"));
  const empty = row => ["", "\u2013"].includes(text(row));
  return [...rows].sort((a, b) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    const difference = number(a) - number(b);
    return sign * (isNaN(difference) ? text(a).localeCompare(text(b)) : difference);
  });
}

// Figures: an overlay on each panel shows the values of all lines at the pointer, or where the arrow keys lead.
for (const data of document.querySelectorAll(".plot script")) {
  for (const panel of JSON.parse(data.textContent)) addReader(data.parentElement, panel);
}

function addReader(plot, panel) {
  const reader = make("div", "reader", plot), line = make("div", "line", reader), readout = make("div", "readout", plot);
  const [left, top, width, height] = panel.box;
  Object.assign(reader.style, {left: percent(left), top: percent(top), width: percent(width), height: percent(height)});
  reader.tabIndex = 0;
  const about = {role: "slider", "aria-label": `values by ${panel.x.label}`, "aria-valuemin": 0, "aria-valuemax": 100};
  for (const [key, value] of Object.entries(about)) reader.setAttribute(key, value);
  let place = 0.5;

  function show(where) {
    place = Math.min(Math.max(where, 0), 1);
    const x = valueAt(panel.x, place);
    const texts = panel.lines.map(({label, steps, points}) => {
      const y = steps ? points.findLast(point => point[0] <= x)?.[1] : between(panel, points, x);
      return `${label}: ${y === undefined ? "\u2013" : written(panel.y, y)}`;
    });
    readout.replaceChildren();
    make("b", "", readout).textContent = `${panel.x.label}: ${written(panel.x, x)}`;
    texts.forEach((text, number) => {
      const row = make("div", "", readout);
      make("i", "", row).style.background = cssColor(panel.lines[number].color);
      row.append(text);
    });
    reader.setAttribute("aria-valuenow", Math.round(100 * place));
    reader.setAttribute("aria-valuetext", [readout.firstChild.textContent, ...texts].join("; "));
    line.style.left = percent(place);
    const at = left + place * width, before = at > 0.5;
    Object.assign(readout.style, {
      top: percent(top), left: before ? "auto" : percent(at + 0.01), right: before ? percent(1.01 - at) : "auto",
    });
    reader.classList.add("on");
    readout.classList.add("on");
  }

  function hide() {
    reader.classList.remove("on");
    readout.classList.remove("on");
  }

  const follow = event => show((event.clientX - reader.getBoundingClientRect().left) / reader.clientWidth);
  reader.addEventListener("pointermove", follow);
  reader.addEventListener("pointerdown", follow);
  reader.addEventListener("pointerleave", hide);
  reader.addEventListener("focus", () => show(place));
  reader.addEventListener("blur", hide);
  reader.addEventListener("keydown", event => {
    const moves = {ArrowLeft: place - 0.02, ArrowRight: place + 0.02, Home: 0, End: 1};
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
}

function make(tag, kind, parent) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  parent.append(element);
  return element;
}

function valueAt(axis, place) {
  const [low, high] = axis.limits;
  return axis.log ? low * (high / low) ** place : low + place * (high - low);
}

// Interpolates along the straight line that is drawn between two points of a curve.
function between(panel, points, x) {
  const number = points.findIndex(([next], place) => place > 0 && points[place - 1][0] <= x && x <= next);
  if (number < 0) return undefined;
  const [[x0, y0], [x1, y1]] = points.slice(number - 1, number + 1);
  const place = (along(panel.x, x) - along(panel.x, x0)) / (along(panel.x, x1) - along(panel.x, x0)) || 0;
  const y = along(panel.y, y0) + place * (along(panel.y, y1) - along(panel.y, y0));
  return panel.y.log ? Math.exp(y) : y;
}

function along(axis, value) {
  return axis.log ? Math.log(value) : value;
}

function written(axis, value) {
  return axis.percent ? `${(100 * value).toPrecision(3)} %` : value.toPrecision(3);
}

function percent(fraction) {
  return `${100 * fraction}%`;
}

// Matplotlib's greys are numbers from 0 to 1.
function cssColor(color) {
  return isNaN(color) ? color : `rgb(${Array(3).fill(255 * color).join(" ")})`;
}
