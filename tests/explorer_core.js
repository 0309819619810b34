// Calls of the explorer's core, [[name, ...arguments], ...], in one go: a result or {error} for each.
(calls) => {
  const plain = (result) =>
    ArrayBuffer.isView(result) ? Array.from(result) : Array.isArray(result) ? result.map(plain) : result;
  return calls.map(([name, ...values]) => {
    try {
      return plain(globalThis.ShiftExplorer[name](...values));
    } catch (error) {
      return { error: error.message };
    }
  });
}
