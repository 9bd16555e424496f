/**
 * Words of a template: text, and what stands between `{{` and `}}`.
 * @module
 * @see https://pkg.go.dev/text/template
 */

export type TokenKind =
  | "text"
  | "left"
  | "right"
  | "space"
  | "identifier"
  | "keyword"
  | "bool"
  | "nil"
  | "field"
  | "variable"
  | "dot"
  | "number"
  | "character"
  | "string"
  | "pipe"
  | "declare"
  | "assign"
  | "("
  | ")"
  | "char"
  | "error"
  | "EOF";

export interface Token {
  kind: TokenKind;
  text: string;
  /** Where it begins, in UTF-16 units. */
  at: number;
  line: number;
}

const KEYWORDS = new Set("block break continue define else end if range template with".split(" "));
const SPACE = /[ \t\r\n]/;
const SPACES = /[ \t\r\n]+/y;
const WORD = /[\p{L}\p{Nd}_]+/uy;
const NUMBER =
  /[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?/y;
const STRING = /"(?:\\[^\n]|[^"\\\n])*"/y;
const CHARACTER = /'(?:\\[^\n]|[^'\\\n])*'/y;
const RAW = /`[^`]*`/y;
const [LEFT, RIGHT, TRIMMED_RIGHT] = ["{{", "}}", /[ \t\r\n]-\}\}/y];

/** All of them; the last one is `EOF` or `error`. */
export function tokensOf(source: string): Token[] {
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) {
      this.#text();
      while (this.#isInside()) if (!this.#inside()) return this.#tokens;
      if (this.#tokens.at(-1)?.kind === "error") return this.#tokens;
    }
    this.#emit("EOF", 0);
    return this.#tokens;
  }

  #isInside(): boolean {
    const last = this.#tokens.at(-1)?.kind;
    return last !== undefined && last !== "text" && last !== "right" && last !== "error";
  }

  /** Up to the next action, which it enters; comments are passed over. */
  #text(): void {
    const last = this.#tokens.at(-1);
    let trimLeft = last?.kind === "right" && last.text !== RIGHT;
    for (;;) {
      const left = this.#source.indexOf(LEFT, this.#at);
      const end = left < 0 ? this.#source.length : left;
      const marked = left >= 0 && this.#source[left + 2] === "-" && SPACE.test(this.#source[left + 3] ?? "");
      this.#emitText(end, trimLeft, marked);
      if (left < 0) return;
      const inside = left + 2 + (marked ? 2 : 0);
      if (!this.#source.startsWith("/*", inside)) return this.#emit("left", inside - left);
      const close = this.#source.indexOf("*/", inside + 2);
      if (close < 0) return this.#fail("unclosed comment");
      TRIMMED_RIGHT.lastIndex = close + 2;
      trimLeft = TRIMMED_RIGHT.test(this.#source);
      if (!trimLeft && !this.#source.startsWith(RIGHT, close + 2))
        return this.#fail("comment ends before closing delimiter");
      this.#skip(close + 2 + (trimLeft ? 4 : 2) - this.#at);
    }
  }

  /** Text without the whitespace that the actions around it take away. */
  #emitText(end: number, trimLeft: boolean, trimRight: boolean): void {
    const whole = this.#source.slice(this.#at, end);
    const leading = trimLeft ? whole.length - whole.replace(/^[ \t\r\n]+/, "").length : 0;
    this.#skip(leading);
    let length = end - this.#at;
    if (trimRight) while (length > 0 && SPACE.test(this.#source[this.#at + length - 1] ?? "")) length--;
    if (length > 0) this.#emit("text", length);
    this.#skip(end - this.#at);
  }

  /** One token inside an action. @returns whether there is more to read */
  #inside(): boolean {
    const [at, source] = [this.#at, this.#source];
    const next = source[at];
    TRIMMED_RIGHT.lastIndex = at;
    const right = source.startsWith(RIGHT, at) ? 2 : TRIMMED_RIGHT.test(source) ? 4 : 0;
    if (right > 0) {
      if (this.#depth > 0) return this.#failed("unclosed left paren");
      this.#emit("right", right);
      return true;
    }
    if (next === undefined) return this.#failed("unclosed action");
    if (SPACE.test(next)) return this.#spaces();
    if (next === "=") return this.#took("assign", 1);
    if (next === ":") return source[at + 1] === "=" ? this.#took("declare", 2) : this.#failed("expected :=");
    if (next === "|") return this.#took("pipe", 1);
    if (next === '"') return this.#quoted(STRING, "string", "unterminated quoted string");
    if (next === "`") return this.#quoted(RAW, "string", "unterminated raw quoted string");
    if (next === "'") return this.#quoted(CHARACTER, "character", "unterminated character constant");
    if (next === "(") this.#depth++;
    if (next === ")") this.#depth--;
    if (next === "(" || next === ")") return this.#took(next, 1);
    if (next === "$") return this.#named("variable");
    if (next === "." && !/[0-9]/.test(source[at + 1] ?? "")) return this.#named("field");
    if (/[-+.0-9]/.test(next)) return this.#number();
    if (this.#matched(WORD) > 0) return this.#word();
    if (/[!-~]/.test(next)) return this.#took("char", 1);
    return this.#failed(`unrecognized character in action: ${codePoint(source, at)}`);
  }

  #spaces(): boolean {
    let length = this.#matched(SPACES);
    // the last one may belong to " -}}"
    if (length > 1 && this.#source.startsWith("-}}", this.#at + length)) length--;
    return this.#took("space", length);
  }

  #quoted(pattern: RegExp, kind: TokenKind, unterminated: string): boolean {
    const length = this.#matched(pattern);
    return length > 0 ? this.#took(kind, length) : this.#failed(unterminated);
  }

  /** `.Field` and `$variable`, or just their first character. */
  #named(kind: "variable" | "field"): boolean {
    WORD.lastIndex = this.#at + 1;
    const length = 1 + (WORD.exec(this.#source)?.[0].length ?? 0);
    if (!this.#endsWord(this.#at + length)) return this.#failed(`bad character ${this.#codePointAt(length)}`);
    return this.#took(length === 1 && kind === "field" ? "dot" : kind, length);
  }

  #number(): boolean {
    const length = this.#matched(NUMBER);
    WORD.lastIndex = this.#at + length;
    const behind = WORD.exec(this.#source)?.[0] ?? "";
    const text = this.#source.slice(this.#at, this.#at + length);
    if (behind !== "") return this.#failed(`bad number syntax: ${JSON.stringify(text + behind.slice(0, 1))}`);
    return this.#took("number", length);
  }

  #word(): boolean {
    const length = this.#matched(WORD);
    const word = this.#source.slice(this.#at, this.#at + length);
    if (!this.#endsWord(this.#at + length)) return this.#failed(`bad character ${this.#codePointAt(length)}`);
    if (KEYWORDS.has(word)) return this.#took("keyword", length);
    if (word === "true" || word === "false") return this.#took("bool", length);
    return this.#took(word === "nil" ? "nil" : "identifier", length);
  }

  #endsWord(at: number): boolean {
    const next = this.#source[at];
    return next === undefined || /[ \t\r\n.,|:()]/.test(next) || this.#source.startsWith(RIGHT, at);
  }

  #matched(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0].length ?? 0;
  }

  #codePointAt(offset: number): string {
    return this.#at + offset < this.#source.length ? codePoint(this.#source, this.#at + offset) : "EOF";
  }

  #took(kind: TokenKind, length: number): true {
    this.#emit(kind, length);
    return true;
  }

  #failed(message: string): false {
    this.#fail(message);
    return false;
  }

  #fail(message: string): void {
    this.#tokens.push({ kind: "error", text: message, at: this.#at, line: this.#line });
    this.#at = this.#source.length;
  }

  #emit(kind: TokenKind, length: number): void {
    const text = this.#source.slice(this.#at, this.#at + length);
    this.#tokens.push({ kind, text, at: this.#at, line: this.#line });
    this.#skip(length);
  }

  #skip(length: number): void {
    for (let at = this.#at; at < this.#at + length; at++) if (this.#source[at] === "\n") this.#line++;
    this.#at += length;
  }
}

/** `U+007D '}'` */
function codePoint(source: string, at: number): string {
  const code = source.codePointAt(at) ?? 0;
  const shown = /[\p{C}\p{Z}]/u.test(String.fromCodePoint(code)) ? "" : ` '${String.fromCodePoint(code)}'`;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}${shown}`;
}
