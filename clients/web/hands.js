/* hands.js - what people do, as calls of the page: buttons, sliders, keys, files dropped, the pointer */
import { SWITCHES } from "./settings.js";

const $ = id => document.getElementById(id);

/** @param {any} page */
export function listen(page) {
  $("microphone").onclick = () => page.microphone();
  $("sample").onclick = () => page.sample();
  $("freeze").onclick = () => page.freeze();
  $("token-form").onsubmit = e => {
    e.preventDefault();
    page.tokens.set(page.server, $("token").value);
    page.askServer();
  };
  $("file").onchange = e => page.file(e.target.files[0]).finally(() => (e.target.value = ""));
  $("depth").oninput = e => page.set({ depth: Number(e.target.value) });
  for (const name of ["compare", "chunk"])
    $(name).onchange = e => page.set({ [name]: Number(e.target.value) });
  $("which").onchange = e => {
    const { model, program } = page.models[Number(e.target.value)];
    page.set({ model, program });
  };
  for (const name of SWITCHES) $(name).onchange = e => page.set({ [name]: e.target.checked });
  document.addEventListener("keydown", e => keys(page, e));
  listenForDrops(page);
  listenForPointer(page);
}

function keys(page, e) {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName))
    return;
  const s = page.settings,
    onButton = e.target.tagName === "BUTTON" || e.target.tagName === "SUMMARY";
  const act = {
    m: () => page.microphone(),
    s: () => page.sample(),
    f: () => page.freeze(),
    " ": onButton ? null : () => page.freeze(),
    "[": () => page.set({ depth: Math.max(1, s.depth - 1) }),
    "]": () => page.set({ depth: Math.min(page.deepest, s.depth + 1) }),
    c: () => page.set({ compare: s.compare ? 0 : Math.max(1, Math.min(3, s.depth - 1)) }),
    i: () => page.set({ ipa: !s.ipa }),
    ArrowLeft: () => page.pan(-0.5),
    ArrowRight: () => page.pan(0.5),
  }[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (!act) return;
  e.preventDefault();
  act();
}

function listenForDrops(page) {
  let inside = 0;
  const over = n => ($("drop").hidden = (inside = Math.max(0, inside + n)) === 0);
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", e => e.preventDefault());
  addEventListener("drop", e => {
    e.preventDefault();
    over(-inside);
    page.file(e.dataTransfer.files[0]);
  });
}

function listenForPointer(page) {
  const canvas = $("picture"),
    tip = $("tip");
  canvas.addEventListener("pointermove", e => {
    if (e.buttons) return page.pan(-e.movementX / page.view.at.speed);
    const text = page.view.whatIsAt(e.offsetX, e.offsetY);
    tip.hidden = !text;
    tip.textContent = text;
    tip.style.left = `${Math.min(e.offsetX + 12, canvas.clientWidth - tip.offsetWidth)}px`;
    tip.style.top = `${e.offsetY + 16}px`;
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
}
