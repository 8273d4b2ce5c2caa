// The map of tasks: a cell for each, on a canvas, so that ten thousands of them cost nothing. The pointer and
// the arrow keys choose a cell; a line below says in words what it is.

import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { colour, onTheme } from "../theme.js";
import { bytes, count, percent, things } from "../format.js";
import { COLOURS, retried } from "./tasks.js";

// Cells are as large as this many pixels or smaller, until the map fits its height.
const SIZES = [28, 24, 20, 16, 12, 9, 7, 5, 4];
const HEIGHT = 300;
// From this size on there is room for a slave's first letters.
const LETTERS = 24;

function layout(width, tasks) {
  for (const size of SIZES) {
    const columns = Math.max(1, Math.floor(width / size));
    const rows = Math.ceil(tasks / columns);
    if (rows * size <= HEIGHT || size === 4) return { size, columns, rows };
  }
  return null;
}

/** The map. `names` are the slaves in the order of their colours. */
export function TaskMap({ tasks, names }) {
  const box = useRef();
  const canvas = useRef();
  const [width, setWidth] = useState(0);
  const [chosen, setChosen] = useState(null);
  const [skin, setSkin] = useState(0);
  useEffect(() => {
    const resize = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    resize.observe(box.current);
    const off = onTheme(() => setSkin((n) => n + 1));
    return () => {
      resize.disconnect();
      off();
    };
  }, []);
  const grid = width > 0 ? layout(width, tasks.length) : null;
  const colours = useMemo(palette, [skin]);
  useEffect(() => {
    if (grid) draw(canvas.current, grid, tasks, names, colours);
  }, [grid?.size, grid?.columns, grid?.rows, tasks, names, colours]);
  const at = (event) => {
    const { left, top } = canvas.current.getBoundingClientRect();
    const [column, row] = [event.clientX - left, event.clientY - top].map((x) => Math.floor(x / grid.size));
    const index = row * grid.columns + column;
    setChosen(column >= 0 && column < grid.columns && tasks[index] ? index : null);
  };
  const keys = (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns, Home: -tasks.length, End: tasks.length };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    setChosen(Math.max(0, Math.min((chosen ?? -1) + step, tasks.length - 1)));
  };
  const task = chosen === null ? null : tasks[chosen];
  return html`<div class="map" ref=${box} tabindex="0" role="application"
    aria-label=${`Map of ${things(tasks.length, "task")}. The arrow keys choose one.`} aria-describedby="map-detail"
    onKeyDown=${keys} onFocus=${() => chosen === null && setChosen(0)}>
    <canvas ref=${canvas} aria-hidden="true" onPointerMove=${at} onPointerDown=${at}></canvas>
    ${grid && chosen !== null && html`<${Mark} grid=${grid} index=${chosen} />`}
  </div>
  <p class="map-detail" id="map-detail" aria-live="polite">${task ? describe(task) : "Point at a task, or use the arrow keys"}</p>`;
}

// The frame around the chosen cell lies above the canvas: moving it draws no cell again.
function Mark({ grid: { size, columns }, index }) {
  const side = `${size - gapOf(size)}px`;
  const place = { left: `${(index % columns) * size}px`, top: `${Math.floor(index / columns) * size}px`, width: side, height: side };
  return html`<span class="map-mark" style=${place}></span>`;
}

const gapOf = (size) => (size > 8 ? 2 : 1);

function describe(task) {
  const who = task.slaves.join(" and ");
  const words = [
    `Task ${task.number}`,
    { queued: "waits for a slave", waiting: "failed, and waits for its next attempt" }[task.state] ??
      (task.state === "running" ? `running on ${who}, ${percent(task.bytes_counted / Math.max(1, task.bytes))}` : `done by ${who}`),
    `${bytes(task.bytes)} from byte ${count(task.byte_offset)}`,
    task.state === "done" && things(task.records, "record"),
    task.rejected > 0 && `${count(task.rejected)} rejected`,
    task.attempts > 1 && things(task.attempts, "attempt"),
    task.failures > 0 && things(task.failures, "failure"),
    task.slaves.length > 1 && "two slaves race for it",
  ];
  return words.filter(Boolean).join(" · ");
}

function palette() {
  const names = { queued: "--cell", surface: "--surface", bad: "--bad", retry: "--retry", ink: "--cell-ink" };
  const colours = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, colour(name)]));
  colours.slaves = Array.from({ length: COLOURS }, (_, i) => colour(`--s${i}`));
  return colours;
}

function draw(canvas, { size, columns, rows }, tasks, names, colours) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [columns * size, rows * size];
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const index = new Map(names.map((name, i) => [name, i]));
  const of = (name) => colours.slaves[(index.get(name) ?? 0) % COLOURS];
  const gap = gapOf(size);
  tasks.forEach((task, i) => {
    const x = (i % columns) * size;
    const y = Math.floor(i / columns) * size;
    cell(context, { x, y, side: size - gap }, task, colours, of);
  });
}

function cell(context, { x, y, side }, task, colours, of) {
  const [first, second] = task.slaves;
  context.fillStyle = colours.queued;
  context.fillRect(x, y, side, side);
  if (task.state === "waiting") cross(context, { x, y, side }, colours.bad);
  if (task.state === "running" || task.state === "done") {
    const share = task.state === "done" ? 1 : Math.min(1, task.bytes_counted / Math.max(1, task.bytes));
    fill(context, { x, y, side }, 1, of(first), 0.25);
    fill(context, { x, y, side }, share, of(first), task.state === "done" ? 1 : 0.85);
    if (task.state === "running") {
      context.strokeStyle = of(first);
      context.lineWidth = 1;
      context.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
    }
  }
  // Two slaves: the lower right half is the second one's.
  if (second) triangle(context, [[x + side, y], [x + side, y + side], [x, y + side]], of(second));
  // More than one attempt: a corner that no slave's colour has.
  if (retried(task)) {
    const corner = Math.max(3, side * 0.4);
    triangle(context, [[x + side - corner - 1.5, y], [x + side, y], [x + side, y + corner + 1.5]], colours.surface);
    triangle(context, [[x + side - corner, y], [x + side, y], [x + side, y + corner]], colours.retry);
  }
  if (side + 2 >= LETTERS && first && task.state === "done") {
    context.fillStyle = colours.ink;
    context.font = `600 ${Math.floor(side * 0.4)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText([...first].slice(0, 2).join(""), x + side / 2, y + side / 2 + 1, side - 2);
  }
}

function cross(context, { x, y, side }, colour) {
  const edge = side * 0.25;
  context.strokeStyle = colour;
  context.lineWidth = Math.max(1, side / 12);
  context.beginPath();
  context.moveTo(x + edge, y + edge);
  context.lineTo(x + side - edge, y + side - edge);
  context.moveTo(x + side - edge, y + edge);
  context.lineTo(x + edge, y + side - edge);
  context.stroke();
}

function fill(context, { x, y, side }, share, colour, alpha) {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(x, y + side * (1 - share), side, side * share);
  context.globalAlpha = 1;
}

function triangle(context, points, colour) {
  context.fillStyle = colour;
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.fill();
}
