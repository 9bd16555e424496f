/** What an index cannot say, though unpacking could. @module */
export class Untellable extends Error {}
