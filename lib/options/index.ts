/** What callers pass, checked; and which word was meant. @module */
export {
  checkArray,
  checkChoice,
  checkHostPath,
  checkInteger,
  checkKeys,
  checkObject,
  checkPath,
  checkSignal,
  checkText,
  invalid,
} from "./check.ts";
export { checkOptions, type Kind } from "./verb.ts";
export { didYouMean } from "./nearest.ts";
