/** What is wrong with what the user brought: one line that says what, where, and what was expected. */
export class InputError extends Error {}
