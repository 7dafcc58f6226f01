/** The one dialog: it says what will be done before it is done. */

import { byId, setText } from "./dom.js";

let onConfirm = null;
let onCancel = null;
let isBusy = false;
/** Counts those that were opened: what an earlier one comes to is not this one's. */
let opened = 0;

const dialog = () => byId("dialog");

export function start() {
  byId("cancel").addEventListener("click", () => dialog().close());
  dialog().addEventListener("close", () => {
    // It comes later: another may stand there by then, which was not closed.
    if (!dialog().open) giveUp();
  });
  byId("dialog-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy || !onConfirm) return;
    const own = opened;
    busy(true);
    fault("");
    let problem = null;
    let isDone = false;
    try {
      // `false` leaves it open: something has to be put right first.
      isDone = (await onConfirm()) !== false;
    } catch (thrown) {
      problem = thrown;
    }
    if (own !== opened) return;
    busy(false);
    if (isDone) close();
    else if (problem) fault(problem.message);
  });
}

function giveUp() {
  const cancelled = onCancel;
  onConfirm = null;
  onCancel = null;
  cancelled?.();
}

function busy(is) {
  isBusy = is;
  byId("confirm").disabled = is;
  byId("dialog-form").setAttribute("aria-busy", String(is));
}

export function fault(text) {
  setText("dialog-fault", text);
}

function close() {
  onCancel = null;
  dialog().close();
}

/**
 * @param {{ title: string, body: (Node | string)[], confirm: string, cancel?: string, isDanger?: boolean,
 *   onConfirm: () => Promise<unknown> | unknown, onCancel?: () => void, focus?: HTMLElement }} options
 */
export function open(options) {
  // Only the token may come while something else is open: it goes first, the other is given up.
  if (dialog().open) {
    giveUp();
    dialog().close();
  }
  setText("dialog-title", options.title);
  byId("dialog-body").replaceChildren(...options.body);
  setText("confirm", options.confirm);
  setText("cancel", options.cancel ?? "Cancel");
  byId("confirm").classList.toggle("danger", Boolean(options.isDanger));
  fault("");
  busy(false);
  opened += 1;
  onConfirm = options.onConfirm;
  onCancel = options.onCancel ?? null;
  dialog().showModal();
  (options.focus ?? byId("cancel")).focus();
}
