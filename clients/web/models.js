/* models.js - the models that a server has, and their orders of layers, as one list to choose from */

/** model, program: what settings say for it, "" is the first there is; names: as the server has them.
 * @typedef {{model: string, program: string, names: [string, string], text: string,
 *   depth: number}} Choice */

/**
 * @param {any} page GET /v1/models; an older server has none
 * @returns {Choice[]} the first is what who does not choose gets
 */
export function choicesOf(page) {
  return (page?.models ?? []).flatMap(({ name, programs }, i) =>
    programs.map((p, k) => ({
      model: i ? name : "",
      program: k ? p.name : "",
      names: [name, p.name],
      text: programs.length > 1 ? `${name}, ${p.name}` : name,
      depth: p.depth,
    })),
  );
}

/**
 * The place in the list of what settings name, -1: it is not there. NAME@DIGITS insists on a file.
 * @param {Choice[]} choices @param {{model: string, program: string}} settings
 */
export function placeOf(choices, { model, program }) {
  const name = model.replace(/@.*/, "");
  return choices.findIndex(
    c => [c.model, c.names[0]].includes(name) && [c.program, c.names[1]].includes(program),
  );
}

/** The query of the pages about it. @param {{model: string, program: string}} settings */
export function queryOf({ model, program }) {
  const q = String(new URLSearchParams(Object.entries({ model, program }).filter(([, v]) => v)));
  return q && `?${q}`;
}
