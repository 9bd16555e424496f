/** The tree of a template, and how its parts are written in errors. @module */
import type { Value } from "./value.ts";

/** Where in the source, in UTF-16 units. */
interface Placed {
  at: number;
}

export type Operand =
  | (Placed & { kind: "dot" | "nil" })
  | (Placed & { kind: "constant"; value: Value; written: string })
  | (Placed & { kind: "field"; names: string[] })
  | (Placed & { kind: "variable"; name: string; names: string[] })
  | (Placed & { kind: "function"; name: string })
  | (Placed & { kind: "chain"; of: Operand; names: string[] })
  | Pipe;

export interface Command extends Placed {
  kind: "command";
  words: Operand[];
}

/** `$index, $item := first | second` */
export interface Pipe extends Placed {
  kind: "pipe";
  variables: string[];
  /** `=`, not `:=`. */
  assigns: boolean;
  commands: Command[];
}

export interface Branch extends Placed {
  kind: "if" | "with" | "range";
  pipe: Pipe;
  body: Node[];
  otherwise: Node[];
}

export type Node =
  | (Placed & { kind: "text"; text: string })
  | (Placed & { kind: "action"; pipe: Pipe })
  | (Placed & { kind: "break" | "continue" })
  | Branch;

export type Named = Node | Operand | Command;

/** As it could stand in a template. */
export function written(node: Named): string {
  switch (node.kind) {
    case "dot":
      return ".";
    case "nil":
    case "break":
    case "continue":
      return node.kind;
    case "constant":
      return node.written;
    case "field":
      return dotted(node.names);
    case "variable":
      return node.name + dotted(node.names);
    case "function":
      return node.name;
    case "chain":
      return inParentheses(node.of) + dotted(node.names);
    case "command":
      return node.words.map(inParentheses).join(" ");
    case "pipe": {
      const commands = node.commands.map(written).join(" | ");
      const variables = node.variables.join(", ");
      return variables === "" ? commands : `${variables} ${node.assigns ? "=" : ":="} ${commands}`;
    }
    case "text":
      return node.text;
    case "action":
      return `{{${written(node.pipe)}}}`;
    case "if":
    case "with":
    case "range":
      return `{{${node.kind} ${written(node.pipe)}}}`;
  }
}

const dotted = (names: string[]) => names.map((name) => `.${name}`).join("");
const inParentheses = (node: Operand) => (node.kind === "pipe" ? `(${written(node)})` : written(node));
