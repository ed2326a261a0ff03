// What is asked of the server. Every failure is an Error with a sentence.

async function answered(response) {
  let told = null;
  try {
    told = await response.json();
  } catch {
    throw new Error(response.status === 403
      ? "This page may not ask any more: open the address that `curate explore` printed."
      : `The server answered ${response.status}.`);
  }
  if (!response.ok) throw new Error(told.error ?? `The server answered ${response.status}.`);
  return told;
}

async function ask(url, options = {}) {
  try {
    return await answered(await fetch(url, { credentials: "same-origin", ...options }));
  } catch (error) {
    if (error.name === "AbortError" || !(error instanceof TypeError)) throw error;
    throw new Error("Nobody answers: is `curate explore` still running?");
  }
}

export const get = (name, asked = {}, signal) => ask(`/api/${name}?${new URLSearchParams(asked)}`, { signal });

export const post = (name, asked, signal) => ask(`/api/${name}`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(asked),
  signal,
});

export const upload = (picture, asked, signal) => ask(`/api/search/picture?${new URLSearchParams(asked)}`, {
  method: "POST",
  headers: { "content-type": "application/octet-stream" },
  body: picture,
  signal,
});

export const small = (sample, number = 0) => `/picture/${sample.uid}/${number}`;
export const whole = (sample, number = 0) => `/picture/${sample.uid}/${number}?whole`;
