/** Images in TypeScript. @module */
export { image, ImageBuilder } from "./image-builder.ts";
export type * from "./options.ts";
