// What the page shows, in the part of the address behind #: back and forward work, and reloading.

const EMPTY = { view: "samples", where: "", sort: "", order: "", page: "0", text: "", like: "", by: "", reason: "", open: "" };

export function read() {
  return { ...EMPTY, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

const same = (name, value) => value === EMPTY[name];

export function address(state) {
  const held = Object.entries(state).filter(([name, value]) => name in EMPTY && !same(name, String(value)));
  return `#${new URLSearchParams(held)}`;
}

// Change some of it; the page follows by `hashchange`. `quiet` makes no step to go back to.
export function change(some, { quiet = false } = {}) {
  const to = address({ ...read(), ...some });
  if (to === (location.hash || "#")) return;
  if (quiet) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = to;
  }
}

export const searching = (state, picture) => Boolean(state.text || state.like || picture);
