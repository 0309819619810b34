/* The exported network in onnxruntime-web: RGB bytes in, class names with confidences out. */

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";

// More threads would need headers of the server that allow shared memory; a plain one sends none.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = {
  wasm: new URL("runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Loads `model.json` and the network that it names.
 *
 * Returns `{classNames, width, height, classify}`; `classify(rgb)` gives
 * `{ranked: [{name, confidence}], milliseconds}`, the likeliest first. */
export async function loadNetwork() {
  const response = await fetch(new URL("model.json", import.meta.url));
  if (!response.ok) throw new Error(`model.json: ${response.status} ${response.statusText}`);
  const { file, class_names: classNames, image_size: [height, width] } = await response.json();
  const session = await ort.InferenceSession.create(new URL(file, import.meta.url).href);

  async function classify(rgb) {
    const images = new ort.Tensor("float32", Float32Array.from(rgb), [1, height, width, 3]);
    const start = performance.now();
    const outputs = await session.run({ [session.inputNames[0]]: images });
    const milliseconds = performance.now() - start;
    const confidences = softmax(outputs[session.outputNames[0]].data);
    const ranked = classNames
      .map((name, k) => ({ name, confidence: confidences[k] }))
      .sort((a, b) => b.confidence - a.confidence);
    return { ranked, milliseconds };
  }

  await classify(new Uint8Array(width * height * 3)); // the first run also prepares the network
  return { classNames, width, height, classify };
}
