// One window at a time: two windows that answer the same task would contradict each other.

/**
 * Try to be the only window for `name`.
 *
 * @param {string} name
 * @param {() => void} lost is called when another window takes over
 * @returns {Promise<{owned: boolean, takeOver: () => Promise<void>}>}
 */
export function onlyWindow(name, lost) {
  const locks = navigator.locks;
  if (!locks) return Promise.resolve({ owned: true, takeOver: async () => {} }); // no secure origin: the server notices
  const hold = (options) =>
    new Promise((resolve) => {
      let held = false;
      locks
        .request(name, options, (lock) => {
          resolve(lock !== null);
          held = lock !== null;
          return held ? new Promise(() => {}) : undefined; // until the window closes, however that happens
        })
        .catch(() => {
          if (held) lost();
          else resolve(false);
        });
    });
  return hold({ ifAvailable: true }).then((owned) => ({ owned, takeOver: () => hold({ steal: true }) }));
}
