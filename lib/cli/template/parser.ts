/** Words to a tree, with the mistakes that Go finds in a template before it is used. @module */
import { constantOf } from "./constants.ts";
import { tokensOf, type Token, type TokenKind } from "./lexer.ts";
import { written, type Branch, type Command, type Node, type Operand, type Pipe } from "./nodes.ts";

/** A template that was not understood, or could not be evaluated. */
export class TemplateError extends Error {}

/** How deep parentheses and blocks may stand in each other. */
const MAX_DEPTH = 100;
const OPERANDS = new Set<TokenKind>([
  "bool",
  "character",
  "dot",
  "field",
  "identifier",
  "number",
  "nil",
  "string",
  "variable",
  "(",
]);
const NOT_EXECUTABLE = new Set<Operand["kind"]>(["constant", "dot", "nil"]);

/** @throws TemplateError */
export function parse(source: string, hasFunction: (name: string) => boolean): Node[] {
  return new Parser(source, hasFunction).parse();
}

class Parser {
  readonly #tokens: Token[];
  readonly #hasFunction: (name: string) => boolean;
  #next = 0;
  #depth = 0;
  #ranges = 0;
  /** Of the action that is being read. */
  #actionLine = 0;
  #variables = ["$"];

  constructor(source: string, hasFunction: (name: string) => boolean) {
    this.#tokens = tokensOf(source);
    this.#hasFunction = hasFunction;
  }

  parse(): Node[] {
    const { nodes, end } = this.#list();
    if (end !== "EOF") this.#fail(`unexpected {{${end}}}`);
    return nodes;
  }

  #peek(): Token {
    return this.#tokens[Math.min(this.#next, this.#tokens.length - 1)] as Token;
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #peekWord(): Token {
    while (this.#peek().kind === "space") this.#next++;
    return this.#peek();
  }

  #takeWord(): Token {
    this.#peekWord();
    return this.#take();
  }

  #fail(
    message: string,
    line = (this.#tokens[Math.min(this.#next, this.#tokens.length) - 1] ?? this.#peek()).line,
  ): never {
    throw new TemplateError(`template: :${line}: ${message}`);
  }

  #unexpected(token: Token, context: string): never {
    if (token.kind !== "error") this.#fail(`unexpected ${shown(token)} in ${context}`, token.line);
    const elsewhere = this.#actionLine !== 0 && this.#actionLine !== token.line;
    const started = ` ${token.text.endsWith(" action") ? "" : "in action "}started at :${this.#actionLine}`;
    this.#fail(token.text + (elsewhere ? started : ""), token.line);
  }

  /** Up to an `{{else}}` or `{{end}}`, or the end of it all. */
  #list(): { nodes: Node[]; end: "else" | "end" | "EOF" } {
    if (++this.#depth > MAX_DEPTH) this.#fail(`blocks more than ${MAX_DEPTH} deep`);
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#takeWord();
      if (token.kind === "EOF" || token.kind === "error") {
        this.#depth--;
        if (token.kind === "error") this.#unexpected(token, "input");
        return { nodes, end: "EOF" };
      }
      if (token.kind === "text") {
        nodes.push({ kind: "text", at: token.at, text: token.text });
        continue;
      }
      if (token.kind !== "left") this.#unexpected(token, "input");
      this.#actionLine = token.line;
      const node = this.#action();
      this.#actionLine = 0;
      if (node !== "else" && node !== "end") nodes.push(node);
      else {
        this.#depth--;
        return { nodes, end: node };
      }
    }
  }

  #action(): Node | "else" | "end" {
    const token = this.#peekWord();
    if (token.kind !== "keyword") {
      const pipe = this.#pipeline("command", "right");
      return { kind: "action", at: token.at, pipe };
    }
    this.#next++;
    switch (token.text) {
      case "else": {
        const follows = this.#peekWord();
        // "{{else if}}" ends the list, too; the branch reads on
        if (follows.kind === "keyword" && (follows.text === "if" || follows.text === "with")) return "else";
        this.#closes("else");
        return "else";
      }
      case "end":
        this.#closes("end");
        return "end";
      case "if":
      case "with":
      case "range":
        return this.#branch(token.text, token.at);
      case "break":
      case "continue":
        this.#closes(`{{${token.text}}}`);
        if (this.#ranges === 0) this.#fail(`{{${token.text}}} outside {{range}}`, token.line);
        return { kind: token.text, at: token.at };
      default:
        return this.#fail(`{{${token.text}}} is not supported: there is one template only`, token.line);
    }
  }

  #closes(context: string): void {
    const token = this.#takeWord();
    if (token.kind !== "right") this.#unexpected(token, context);
  }

  #branch(kind: Branch["kind"], at: number): Branch {
    const visible = this.#variables.length;
    const pipe = this.#pipeline(kind, "right");
    if (kind === "range") this.#ranges++;
    const { nodes: body, end } = this.#list();
    if (kind === "range") this.#ranges--;
    const otherwise: Node[] = [];
    if (end === "else") {
      const isLast = this.#tokens[this.#next - 1]?.kind === "right";
      const follows = this.#peekWord();
      if (!isLast && follows.text === kind) {
        this.#next++;
        if (++this.#depth > MAX_DEPTH) this.#fail(`blocks more than ${MAX_DEPTH} deep`);
        otherwise.push(this.#branch(kind, follows.at));
        this.#depth--;
      } else {
        if (!isLast) this.#unexpected(follows, "else");
        const last = this.#list();
        if (last.end === "else") this.#fail("expected end; found {{else}}");
        if (last.end === "EOF") this.#fail("unexpected EOF");
        otherwise.push(...last.nodes);
      }
    } else if (end === "EOF") this.#fail("unexpected EOF");
    this.#variables.length = visible;
    return { kind, at, pipe, body, otherwise };
  }

  #pipeline(context: string, end: TokenKind): Pipe {
    const { at } = this.#peekWord();
    const pipe: Pipe = { kind: "pipe", at, variables: [], assigns: false, commands: [] };
    this.#declarations(pipe, context);
    for (;;) {
      const token = this.#takeWord();
      if (token.kind === end) {
        this.#check(pipe, context);
        return pipe;
      }
      if (!OPERANDS.has(token.kind)) this.#unexpected(token, context);
      this.#next--;
      pipe.commands.push(this.#command());
    }
  }

  /** `$x := `, `$x = `, and `$i, $x := ` of a range. */
  #declarations(pipe: Pipe, context: string): void {
    for (;;) {
      const start = this.#next;
      const variable = this.#peekWord();
      if (variable.kind !== "variable") return;
      this.#next++;
      const token = this.#peekWord();
      if (token.kind === "declare" || token.kind === "assign") {
        this.#next++;
        pipe.assigns = token.kind === "assign";
        pipe.variables.push(variable.text);
        this.#variables.push(variable.text);
        return;
      }
      if (token.kind !== "char" || token.text !== ",") {
        this.#next = start;
        return;
      }
      this.#next++;
      pipe.variables.push(variable.text);
      if (context !== "range" || pipe.variables.length > 1) this.#fail(`too many declarations in ${context}`);
      this.#variables.push(variable.text);
      if (this.#peekWord().kind !== "variable") this.#fail("range can only initialize variables");
    }
  }

  #check({ commands }: Pipe, context: string): void {
    if (commands.length === 0) this.#fail(`missing value for ${context}`);
    commands.slice(1).forEach(({ words: [first] }, index) => {
      if (first && NOT_EXECUTABLE.has(first.kind)) this.#fail(`non executable command in pipeline stage ${index + 2}`);
    });
  }

  #command(): Command {
    const { at } = this.#peekWord();
    const words: Operand[] = [];
    for (;;) {
      this.#peekWord();
      const operand = this.#operand();
      if (operand) words.push(operand);
      const token = this.#take();
      if (token.kind === "space") continue;
      if (token.kind === "right" || token.kind === ")") this.#next--;
      else if (token.kind !== "pipe") this.#unexpected(token, "operand");
      if (words.length === 0) this.#fail("empty command");
      return { kind: "command", at, words };
    }
  }

  #operand(): Operand | undefined {
    const term = this.#term();
    if (!term || this.#peek().kind !== "field") return term;
    const names: string[] = [];
    // an error is at the second field, as Go has it
    const { at } = this.#peek();
    while (this.#peek().kind === "field") names.push(this.#take().text.slice(1));
    if (term.kind === "field" || term.kind === "variable") return { ...term, at, names: [...term.names, ...names] };
    if (NOT_EXECUTABLE.has(term.kind)) this.#fail(`unexpected . after term ${JSON.stringify(written(term))}`);
    return { kind: "chain", at, of: term, names };
  }

  #term(): Operand | undefined {
    const { kind, text, at } = this.#peek();
    if (!OPERANDS.has(kind)) return undefined;
    this.#next++;
    switch (kind) {
      case "identifier":
        if (!this.#hasFunction(text)) this.#fail(`function ${JSON.stringify(text)} not defined`);
        return { kind: "function", at, name: text };
      case "dot":
      case "nil":
        return { kind, at };
      case "variable":
        this.#known(text);
        return { kind: "variable", at, name: text, names: [] };
      case "field":
        return { kind: "field", at, names: [text.slice(1)] };
      case "(":
        return this.#parenthesized();
      default: {
        const value = constantOf(kind, text);
        if (value instanceof Error) this.#fail(value.message);
        return { kind: "constant", at, value, written: text };
      }
    }
  }

  #parenthesized(): Pipe {
    if (++this.#depth > MAX_DEPTH) this.#fail(`parentheses more than ${MAX_DEPTH} deep`);
    const pipe = this.#pipeline("parenthesized pipeline", ")");
    this.#depth--;
    return pipe;
  }

  #known(variable: string): void {
    if (!this.#variables.includes(variable)) this.#fail(`undefined variable ${JSON.stringify(variable)}`);
  }
}

/** As errors name it. */
function shown({ kind, text }: Token): string {
  if (kind === "EOF") return "EOF";
  if (kind === "keyword" || kind === "dot" || kind === "nil") return `<${text}>`;
  return text.length > 10 ? `${JSON.stringify(text.slice(0, 10))}...` : JSON.stringify(text);
}
