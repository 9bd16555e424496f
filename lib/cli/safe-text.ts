/**
 * Text of others on a terminal: names, labels and messages of images and registries may hold escape sequences, which
 * move the cursor, change colours, or answer for whoever sits there.
 * @module
 */

// C0 and DEL, C1 (0x9b alone begins a sequence), and what turns the direction of text around
const CONTROL = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const BUT_LINES = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (character: string) => {
  const code = character.charCodeAt(0);
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
};

/** For a cell or a word: `\x1b[2J`, and one line in any case. */
export const safeWord = (text: string): string => text.replaceAll(CONTROL, escaped);

/** For text that may have lines and tabs. */
export const safeText = (text: string): string => text.replaceAll(BUT_LINES, escaped);
