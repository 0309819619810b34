/* The page: files come in by four ways, one after the other, and the answer goes on screen. */

import { loadNetwork } from "./network.js";
import { decode, drawSeen, drawWhole, pixelsOf, PictureError } from "./picture.js";

const MOST_SHOWN = 5;
const SIDE = 320; // pixels of the whole picture's longer side on screen

const at = (id) => document.getElementById(id);
const percent = (confidence) => `${(100 * confidence).toFixed(1)} %`;

function say(text, problem = "") {
  at("status").textContent = text;
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

function showAnswer(ranked, milliseconds, total) {
  const rows = ranked.slice(0, MOST_SHOWN).map(({ name, confidence }) => {
    const row = document.createElement("li");
    const [label, bar, number] = ["name", "bar", "number"].map((className) => {
      const part = document.createElement("span");
      part.className = className;
      return part;
    });
    label.textContent = name;
    bar.style.setProperty("--share", confidence);
    number.textContent = percent(confidence);
    row.append(label, " ", bar, number);
    return row;
  });
  at("ranking").replaceChildren(...rows);
  at("time").textContent =
    `${milliseconds.toFixed(1)} ms in the network, on one thread; ` +
    `${total.toFixed(0)} ms with reading and resizing the picture.`;
}

async function classify(network, file) {
  const { width, height } = network;
  const start = performance.now();
  let bitmap;
  try {
    bitmap = await decode(file);
    const rgb = pixelsOf(bitmap, width, height);
    const { ranked, milliseconds } = await network.classify(rgb);
    const total = performance.now() - start;
    drawWhole(bitmap, at("whole"), SIDE, width, height);
    drawSeen(rgb, at("seen"), width, height);
    showAnswer(ranked, milliseconds, total);
    at("answer").hidden = false;
    say(`${file.name}: ${ranked[0].name}, ${percent(ranked[0].confidence)}`);
  } catch (error) {
    at("answer").hidden = true;
    const isForThePerson = error instanceof PictureError;
    say("", isForThePerson ? error.message : `The network failed on ${file.name}: ${error.message}`);
    if (!isForThePerson) throw error;
  } finally {
    bitmap?.close();
  }
}

function accept(network) {
  let last = Promise.resolve();
  const take = (files) => {
    const [file] = files;
    // One after the other: the runtime computes one picture at a time.
    if (file) last = last.then(() => classify(network, file)).catch(console.error);
  };

  const input = at("file");
  input.addEventListener("change", () => {
    take([...input.files]); // a copy, since the next line empties the list
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser would leave the page and show the file
    document.body.classList.remove("dragging");
    take(event.dataTransfer.files);
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const name = button.dataset.example;
      try {
        const response = await fetch(`examples/${name}`);
        if (!response.ok) throw new Error(response.status);
        take([new File([await response.blob()], name)]);
      } catch (error) {
        say("", `The example ${name} cannot be loaded: ${error.message}`);
      }
    });
  }
  for (const control of document.querySelectorAll(":disabled")) control.disabled = false;
}

try {
  const network = await loadNetwork();
  at("seen-caption").textContent =
    `The network sees ${network.width}\u00a0×\u00a0${network.height} pixels.`;
  at("classes").textContent =
    `It knows ${network.classNames.join(", ")}; whatever a picture shows, the answer is one of these.`;
  at("classes").hidden = false;
  accept(network);
  say("Ready for a picture.");
} catch (error) {
  say("", `The network cannot be loaded: ${error.message}`);
  console.error(error);
}
