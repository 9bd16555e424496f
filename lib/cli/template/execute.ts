/**
 * A tree, evaluated. What it may do is bounded: steps, the length of what is printed and of each string.
 * @module
 * @see https://pkg.go.dev/text/template, its exec.go for the words of errors
 */
import { textOf } from "./format.ts";
import { FUNCTIONS, MAX_STRING, type Kind } from "./functions.ts";
import { written, type Branch, type Command, type Named, type Node, type Operand, type Pipe } from "./nodes.ts";
import { TemplateError } from "./parser.ts";
import { entriesOf, isList, isMap, isStruct, isTrue, memberOf, typeOf, type Value } from "./value.ts";

const MAX_STEPS = 1_000_000;
const MAX_OUTPUT = 64 * 1024 * 1024;

type Called = Extract<Operand, { kind: "function" }>;

/** Of a template that is told in an error. */
const MAX_CONTEXT = 200;

/** A pipeline's value so far; nothing at its begin. */
type Final = { value: Value } | undefined;

/** What was left by `{{break}}` or `{{continue}}`. */
type Left = "break" | "continue" | undefined;

export interface Manner {
  /** What is made of the text that an action prints. */
  show?: (text: string) => string;
  /** For titles of columns: Docker's functions leave them as they are. */
  isHeader?: boolean;
}

/** @throws TemplateError */
export function execute(source: string, nodes: readonly Node[], data: Value, manner: Manner): string {
  return new Execution(source, data, manner).run(nodes);
}

class Execution {
  readonly #source: string;
  readonly #variables: { name: string; value: Value }[];
  readonly #show: (text: string) => string;
  readonly #isHeader: boolean;
  readonly #root: Value;
  #node: Named | undefined;
  /** What comes last is no key of its map, or a function's: Go tells that from a field that is a nil pointer. */
  #isMissing = false;
  #steps = 0;
  #length = 0;
  readonly #output: string[] = [];

  constructor(source: string, data: Value, { show = (text) => text, isHeader = false }: Manner) {
    this.#source = source;
    this.#root = data;
    this.#show = show;
    this.#isHeader = isHeader;
    this.#variables = [{ name: "$", value: data }];
  }

  run(nodes: readonly Node[]): string {
    this.#walk(nodes, this.#root);
    return this.#output.join("");
  }

  /** Goes to a node, which an error is at from now on. */
  #at(node: Named): void {
    this.#node = node;
    if (++this.#steps > MAX_STEPS) this.#fail(`more than ${MAX_STEPS} steps`);
  }

  #fail(message: string): never {
    if (!this.#node) throw new TemplateError(`template: ${message}`);
    const before = this.#source.slice(0, this.#node.at);
    const lineStart = before.lastIndexOf("\n") + 1;
    const column = new TextEncoder().encode(before.slice(lineStart)).length;
    const line = before.split("\n").length;
    const text = written(this.#node);
    const context = text.length > MAX_CONTEXT ? `${text.slice(0, MAX_CONTEXT)}...` : text;
    throw new TemplateError(`template: :${line}:${column}: executing "" at <${context}>: ${message}`);
  }

  #print(text: string): void {
    this.#length += text.length;
    if (this.#length > MAX_OUTPUT) this.#fail(`more than ${MAX_OUTPUT} characters`);
    this.#output.push(text);
  }

  #walk(nodes: readonly Node[], dot: Value): Left {
    for (const node of nodes) {
      this.#at(node);
      if (node.kind === "text") this.#print(node.text);
      else if (isLeaving(node)) return node.kind;
      else if (node.kind === "action") {
        this.#isMissing = false;
        const value = this.#pipe(dot, node.pipe);
        this.#at(node);
        if (node.pipe.variables.length > 0) continue;
        this.#print(this.#show(value === null && this.#isMissing ? "<no value>" : textOf(value)));
      } else {
        const visible = this.#variables.length;
        const left = node.kind === "range" ? this.#range(node, dot) : this.#ifOrWith(node, dot);
        this.#variables.length = visible;
        if (left) return left;
      }
    }
    return undefined;
  }

  #ifOrWith({ kind, pipe, body, otherwise }: Branch, dot: Value): Left {
    const value = this.#pipe(dot, pipe);
    if (!isTrue(value)) return this.#walk(otherwise, dot);
    return this.#walk(body, kind === "with" ? value : dot);
  }

  #range({ pipe, body, otherwise }: Branch, dot: Value): Left {
    const over = this.#pipe(dot, pipe);
    const visible = this.#variables.length;
    let isEmpty = true;
    for (const [index, item] of this.#items(over)) {
      isEmpty = false;
      const [first, second] = pipe.variables;
      if (second !== undefined) {
        this.#set(second, item);
        this.#set(first as string, index);
      } else if (first !== undefined) this.#set(first, item);
      const left = this.#walk(body, item);
      this.#variables.length = visible;
      if (left === "break") break;
    }
    return isEmpty ? this.#walk(otherwise, dot) : undefined;
  }

  *#items(over: Value): Generator<[index: Value, item: Value]> {
    if (over === null) return;
    if (isList(over)) for (const [index, item] of over.entries()) yield [BigInt(index), item];
    else if (isMap(over)) yield* entriesOf(over);
    else if (typeof over === "bigint") for (let index = 0n; index < over; index++) yield [index, index];
    else this.#fail(`range can't iterate over ${textOf(over)}`);
  }

  #pipe(dot: Value, pipe: Pipe): Value {
    this.#at(pipe);
    let final: Final;
    for (const command of pipe.commands) final = { value: this.#command(dot, command, final) };
    const value = final?.value ?? null;
    for (const name of pipe.variables) {
      if (pipe.assigns) this.#set(name, value);
      else this.#variables.push({ name, value });
    }
    return value;
  }

  #variable(name: string): { value: Value } {
    return this.#variables.findLast((each) => each.name === name) ?? this.#fail(`undefined variable: ${name}`);
  }

  #set(name: string, value: Value): void {
    this.#variable(name).value = value;
  }

  #command(dot: Value, command: Command, final: Final): Value {
    const first = command.words[0] as Operand;
    const rest = command.words.slice(1);
    const hasArguments = rest.length > 0 || final !== undefined;
    switch (first.kind) {
      case "function":
        return this.#call(dot, command, first, rest, final);
      case "field":
      case "chain":
        return this.#operand(dot, first, hasArguments);
      case "variable":
        if (first.names.length > 0) return this.#operand(dot, first, hasArguments);
    }
    this.#at(first);
    if (hasArguments) this.#fail(`can't give argument to non-function ${written(first)}`);
    if (first.kind === "nil") this.#fail("nil is not a command");
    return this.#operand(dot, first, false);
  }

  /** The value of what calls no function. */
  #operand(dot: Value, operand: Operand, hasArguments: boolean): Value {
    this.#at(operand);
    switch (operand.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "constant":
        return operand.value;
      case "field":
        return this.#fields(dot, operand.names, hasArguments);
      case "variable":
        return this.#fields(this.#variable(operand.name).value, operand.names, hasArguments);
      case "chain": {
        return this.#fields(this.#operand(dot, operand.of, false), operand.names, hasArguments);
      }
      case "pipe":
        return this.#pipe(dot, operand);
      case "function":
        return this.#call(dot, operand, operand, [], undefined);
    }
  }

  #fields(of: Value, names: string[], hasArguments: boolean): Value {
    return names.reduce((value, name, at) => this.#field(value, name, hasArguments && at === names.length - 1), of);
  }

  #field(of: Value, name: string, hasArguments: boolean): Value {
    if (of === null) this.#fail(`nil pointer evaluating interface {}.${name}`);
    if (!isMap(of) && !isStruct(of)) this.#fail(`can't evaluate field ${name} in type ${typeOf(of)}`);
    const value = memberOf(of, name);
    if (isMap(of)) {
      if (hasArguments) this.#fail(`${name} is not a method but has arguments`);
      this.#isMissing = value === undefined;
      return value ?? null;
    }
    if (value === undefined) this.#fail(`can't evaluate field ${name}`);
    if (hasArguments) this.#fail(`${name} has arguments but cannot be invoked as function`);
    return value;
  }

  /** @param node what is called: with its arguments, where there are some */
  #call(dot: Value, node: Named, called: Called, words: Operand[], final: Final): Value {
    this.#at(called);
    const { name } = called;
    const { takes, more, call, isDockers } =
      FUNCTIONS.get(name) ?? this.#fail(`${JSON.stringify(name)} is not a defined function`);
    const count = words.length + (final ? 1 : 0);
    const wrong = `wrong number of args for ${name}: want `;
    if (more ? count < takes.length : count !== takes.length)
      this.#fail(`${wrong}${more ? "at least " : ""}${takes.length} got ${count}`);
    const kindAt = (at: number): Kind => takes[at] ?? more ?? "any";
    const values: Value[] = [];
    for (const [at, word] of words.entries()) {
      const value = this.#argument(dot, word, kindAt(at));
      // what comes later is not even evaluated
      if ((name === "and" && !isTrue(value)) || (name === "or" && isTrue(value))) return value;
      values.push(value);
    }
    if (final) values.push(this.#checked(final.value, kindAt(values.length)));
    if (this.#isHeader && isDockers) return values[0] ?? null;
    this.#isMissing = true;
    try {
      const result = call(...values);
      if (typeof result !== "string" || result.length <= MAX_STRING) return result;
    } catch (error) {
      this.#at(node);
      this.#fail(`error calling ${name}: ${(error as Error).message}`);
    }
    return this.#fail(`error calling ${name}: more than ${MAX_STRING} characters`);
  }

  #argument(dot: Value, word: Operand, kind: Kind): Value {
    this.#at(word);
    if (word.kind === "nil" && kind !== "any") this.#fail(`cannot assign nil to ${TYPES[kind]}`);
    if (word.kind === "constant" && kind !== "any" && !isOf(word.value, kind))
      this.#fail(`expected ${kind === "int" ? "integer" : kind}; found ${word.written}`);
    return this.#checked(this.#operand(dot, word, false), kind);
  }

  #checked(value: Value, kind: Kind): Value {
    if (isOf(value, kind)) return value;
    if (value === null) this.#fail(`invalid value; expected ${TYPES[kind]}`);
    return this.#fail(`wrong type for value; expected ${TYPES[kind]}; got ${typeOf(value)}`);
  }
}

const isLeaving = (node: Node): node is Extract<Node, { kind: "break" | "continue" }> =>
  node.kind === "break" || node.kind === "continue";

const TYPES: Record<Kind, string> = { any: "interface {}", string: "string", int: "int", strings: "[]string" };

function isOf(value: Value, kind: Kind): boolean {
  if (kind === "strings") return isList(value) && value.every((each) => typeof each === "string");
  return kind === "any" || (kind === "string" ? typeof value === "string" : typeof value === "bigint");
}
