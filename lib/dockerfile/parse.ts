/** Text to a Dockerfile: its directives, arguments and stages. @module */
import type { Dockerfile, Instruction, InstructionOf, Stage } from "./instruction.ts";
import { Lines, type Escape } from "./lines.ts";
import { readInstruction } from "./read.ts";

/**
 * @param file what it is called in messages
 * @throws TsboxError `dockerfile_invalid`, with file, line and column
 */
export function parseDockerfile(text: string, file = "Dockerfile"): Dockerfile {
  const lines = new Lines(text, file);
  lines.readDirectives();
  const globals: InstructionOf<"ARG">[] = [];
  const stages: Stage[] = [];
  for (let line; (line = lines.next());) {
    const instruction = readInstruction(lines, line);
    const stage = stages.at(-1);
    if (instruction.name === "FROM") stages.push({ from: instruction, instructions: [] });
    else if (stage) stage.instructions.push(instruction);
    else if (instruction.name === "ARG") globals.push(instruction);
    else
      throw lines.error(
        instruction.place,
        `${instruction.name} before the first FROM`,
        "only ARG may stand before FROM",
      );
  }
  if (stages.length === 0)
    throw lines.error({ line: 1, column: 1 }, "there is no FROM", "FROM scratch begins with nothing");
  return { file, directives: lines.directives, escape: lines.escape, globals, stages, notes: lines.notes };
}

/**
 * Exactly one: what ONBUILD of a base image says, `--change`.
 * @throws TsboxError `dockerfile_invalid`
 */
export function parseInstruction(text: string, file: string, escape: Escape = "\\"): Instruction {
  const lines = new Lines(text, file);
  lines.escape = escape;
  const line = lines.next();
  if (!line) throw lines.error({ line: 1, column: 1 }, "there is no instruction");
  const instruction = readInstruction(lines, line);
  const more = lines.next();
  if (more) throw lines.error(more.place, "there is more than one instruction");
  return instruction;
}
