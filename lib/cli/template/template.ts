/**
 * Templates of `--format`: the language of Go's text/template but for `define`, `template`, `block` and methods, with
 * Docker's functions. A template may be hostile, and so may the data: nothing but the data's own fields can be reached,
 * and time and memory are bounded.
 * @module
 * @see https://pkg.go.dev/text/template
 */
import { execute, type Manner } from "./execute.ts";
import { FUNCTIONS } from "./functions.ts";
import type { Node } from "./nodes.ts";
import { parse } from "./parser.ts";
import { valueOf } from "./value.ts";

export { jsonOf } from "./json.ts";
export { TemplateError } from "./parser.ts";
export { NO_LIST, NO_MAP, valueOf, withUnsaid, type Value } from "./value.ts";

export class Template {
  readonly #source: string;
  readonly #nodes: readonly Node[];

  /** @throws TemplateError */
  constructor(source: string) {
    this.#source = source;
    this.#nodes = parse(source, (name) => FUNCTIONS.has(name));
  }

  /** @throws TemplateError */
  execute(data: unknown, manner: Manner = {}): string {
    return execute(this.#source, this.#nodes, valueOf(data), manner);
  }
}
