// Elements from data. Texts become text nodes and nothing else, whatever they hold.

export const $ = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "style") Object.assign(made.style, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const put = (place, ...children) => place.replaceChildren(...children.flat().filter(Boolean));

export const count = (n) => n.toLocaleString("en-US");

// A figure in as many digits as one compares by.
export function figure(value) {
  if (value === null || value === undefined) return "–";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value) || typeof value === "object") return JSON.stringify(value);
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return count(value);
  const size = Math.abs(value);
  return size >= 1000 ? count(Math.round(value)) : size >= 0.001 ? value.toPrecision(3) : value.toExponential(1);
}

export const words = (name) => name.replaceAll("_", " ");

// A value as SQL has it.
export const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

let hiding = 0;

export function toast(text) {
  const place = $("toast");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { place.hidden = true; }, 2600);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("Select the text to copy it");
  }
}
