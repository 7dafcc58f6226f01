/**
 * The load line, drawn: a midship section in the sea. The water stands at the pressure that decides,
 * in the hold lie the live heap and what is resident on top of it, and the deck is the limit. So
 * in a drill the water rises and the hold does not.
 */

import { svg } from "./dom.js";
import { isNumber, percent } from "./format.js";

const KEEL = 292;
const DECK = 66;
const LEFT = 82;
const RIGHT = 250;
const HEIGHT = KEEL - DECK;
/** Shown at the most: the water may stand a little above the deck. */
const MOST = 1.1;

const OUTLINE = `M${LEFT} ${DECK - 16} V${KEEL - 52} Q${LEFT} ${KEEL} ${LEFT + 52} ${KEEL} H${RIGHT - 52} Q${RIGHT} ${KEEL} ${RIGHT} ${KEEL - 52} V${DECK - 16}`;
const HOLD = `M${LEFT + 7} ${DECK} V${KEEL - 54} Q${LEFT + 7} ${KEEL - 9} ${LEFT + 54} ${KEEL - 9} H${RIGHT - 54} Q${RIGHT - 7} ${KEEL - 9} ${RIGHT - 7} ${KEEL - 54} V${DECK} Z`;

const heightOf = (ratio) => KEEL - HEIGHT * Math.min(Math.max(ratio, 0), MOST);

let parts = null;

function build(root) {
  const wave = (y) => {
    let path = `M-48 ${y}`;
    for (let x = -48; x < 440; x += 24) path += ` q6 -3.2 12 0 t12 0`;
    return `${path} V${KEEL + 90} H-48 Z`;
  };
  const clip = svg("clipPath", { id: "hold-shape" }, svg("path", { d: HOLD }));
  const frame = svg("clipPath", { id: "hull-frame" }, svg("rect", { x: 0, y: 0, width: 400, height: 330, rx: 10 }));
  const hatch = svg(
    "pattern",
    { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { width: 7, height: 7, class: "hatch-ground" }),
    svg("path", { d: "M0 0V7", class: "hatch-line" }),
  );
  const far = svg("path", { d: wave(0), class: "wave far" });
  const sea = svg("g", { class: "sea" }, far);
  const near = svg("g", { class: "sea" }, svg("path", { d: wave(0), class: "wave near" }));
  const resident = svg("rect", { x: LEFT, width: RIGHT - LEFT, class: "load resident" });
  const heap = svg("rect", { x: LEFT, width: RIGHT - LEFT, class: "load heap" });
  const marks = svg("g", { class: "hull-marks" });
  const reading = svg("text", { x: 12, class: "reading" });
  const pointer = svg("path", { d: "M0 0l-9 -5v10z", class: "pointer" });
  root.append(
    svg("defs", {}, clip, frame, hatch),
    svg(
      "g",
      { "clip-path": "url(#hull-frame)" },
      svg("rect", { x: 0, y: 0, width: 400, height: 330, class: "sky" }),
      sea,
      svg("path", { d: `${OUTLINE} Z`, class: "inside" }),
      svg("g", { "clip-path": "url(#hold-shape)" }, resident, heap),
      near,
      svg("path", { d: OUTLINE, class: "plate" }),
      svg("path", { d: `M${LEFT - 5} ${DECK - 17}h14M${RIGHT - 9} ${DECK - 17}h14`, class: "rail" }),
      svg("path", { d: `M${LEFT} ${DECK}H${RIGHT}`, class: "deck" }),
    ),
    marks,
    pointer,
    reading,
  );
  return { sea, near, resident, heap, marks, reading, pointer, lines: "" };
}

/**
 * @param {SVGElement} root
 * @param {{ deciding: number, heap: number, resident: number, level: string, levels: object | null,
 *           label: string }} load
 */
export function draw(root, load) {
  parts ??= build(root);
  const deciding = isNumber(load.deciding) ? load.deciding : 0;
  const water = heightOf(deciding);
  // A property, not an attribute: it glides there.
  parts.sea.style.transform = `translateY(${water - 4}px)`;
  parts.near.style.transform = `translateY(${water}px)`;
  place(parts.resident, load.resident);
  place(parts.heap, load.heap);
  parts.pointer.style.transform = `translate(${LEFT - 8}px, ${water}px)`;
  const text = percent(load.deciding);
  if (parts.reading.textContent !== text) parts.reading.textContent = text;
  parts.reading.style.transform = `translateY(${Math.max(30, water - 10)}px)`;
  drawLines(load.levels);
  if (root.getAttribute("aria-label") !== load.label) root.setAttribute("aria-label", load.label);
}

function place(rect, ratio) {
  const top = heightOf(isNumber(ratio) ? ratio : 0);
  rect.setAttribute("y", top);
  rect.setAttribute("height", Math.max(0, KEEL - top));
}

/** The ladder beside the disc, as on a ship's side: one mark a level, and the deck line on top. */
function drawLines(levels) {
  const lines = [{ name: "limit", ratio: 1, text: "limit" }];
  for (const name of ["critical", "restart", "optimise"]) {
    const enter = levels?.[name]?.enter;
    if (isNumber(enter)) lines.push({ name, ratio: enter, text: `${name} ${percent(enter)}` });
  }
  const key = JSON.stringify(lines);
  if (parts.lines === key) return;
  parts.lines = key;
  lines.sort((a, b) => b.ratio - a.ratio);
  const children = [];
  let lowest = -Infinity;
  for (const line of lines) {
    const y = heightOf(line.ratio);
    // Labels keep their distance; a bent line leads to where the mark is.
    const at = Math.max(y, lowest + 17);
    lowest = at;
    children.push(
      svg("path", { d: `M${RIGHT - 22} ${y}H${RIGHT + 14}L${RIGHT + 24} ${at}H${RIGHT + 30}`, class: `mark ${line.name}` }),
      svg("text", { x: RIGHT + 35, y: at + 4, class: `mark-text ${line.name}` }, line.text),
    );
  }
  // The disc's own line is the first one that she should not pass.
  const first = lines.at(-1);
  const y = heightOf(first.ratio);
  const middle = (LEFT + RIGHT) / 2;
  children.push(
    svg("circle", { cx: middle, cy: y, r: 17, class: "disc-ring" }),
    svg("path", { d: `M${middle - 29} ${y}h58`, class: "disc-line" }),
  );
  parts.marks.replaceChildren(...children);
}
