// Calls of the explorer's core, [[name, ...arguments], ...], in one go: a result or {error} for each.
(calls) =>
  calls.map(([name, ...values]) => {
    try {
      const result = globalThis.ShiftExplorer[name](...values);
      return ArrayBuffer.isView(result) ? Array.from(result) : result;
    } catch (error) {
      return { error: error.message };
    }
  })
