/** What callers pass, checked; and which word was meant. @module */
export {
  checkArray,
  checkChoice,
  checkHostPath,
  checkInteger,
  checkKeys,
  checkObject,
  checkOptions,
  checkPath,
  checkSignal,
  checkText,
  invalid,
} from "./check.ts";
export { didYouMean } from "./nearest.ts";
