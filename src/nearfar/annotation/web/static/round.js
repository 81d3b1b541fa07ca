// The questions of one task: which is shown, what was answered, what can be taken back. No page, no network.

import { uuid } from "./outbox.js";

/** One task being answered. */
export class Round {
  #order = []; // indices of answered questions, the last answered last

  /**
   * @param {object} task as /api/task gives it
   * @param {object[]} waiting events that the server may not know yet: they count
   */
  constructor(task, waiting = []) {
    this.task = task;
    this.questions = task.questions.map((question) => ({ ...question, before: null }));
    const byId = new Map(this.questions.map((question) => [question.id, question]));
    for (const event of waiting) {
      const question = byId.get(event.question);
      if (question && event.revision > question.revision) {
        question.revision = event.revision;
        question.choice = event.choice === "undone" ? null : event.choice;
      }
    }
    this.#order = [...this.questions.keys()].filter((i) => this.questions[i].choice);
    this.index = this.#firstOpen();
  }

  get total() {
    return this.questions.length;
  }

  get done() {
    return this.#order.length;
  }

  get finished() {
    return this.index === -1;
  }

  get current() {
    return this.finished ? null : this.questions[this.index];
  }

  /** Place of the question that is shown, from 1. */
  get number() {
    return this.finished ? this.total : this.index + 1;
  }

  get canUndo() {
    if (this.task.kind === "practice") return false; // it has told the right answer
    return this.#order.length > 0 && !(this.task.kind === "test" && this.finished); // a finished test is marked
  }

  /** Questions from the present one on that are open: their pictures will be needed. */
  get ahead() {
    return this.questions.filter((question, i) => !question.choice && i >= Math.max(this.index, 0));
  }

  /** Answer the present question; the event to send. Practice stays on it until `next`. */
  answer(choice, responseMs) {
    const question = this.current;
    question.choice = choice;
    this.#order.push(this.index);
    const event = this.#event(question, choice, responseMs);
    if (this.task.kind !== "practice") this.next();
    return event;
  }

  /** Go on to the next open question. */
  next() {
    this.index = this.#firstOpen();
  }

  /** Take the last answer back and show its question again; the event to send, or null where nothing can be undone. */
  undo() {
    if (!this.canUndo) return null;
    this.index = this.#order.pop();
    const question = this.current;
    question.before = question.choice;
    question.choice = null;
    return this.#event(question, "undone", 0);
  }

  #firstOpen() {
    return this.questions.findIndex((question) => !question.choice);
  }

  #event(question, choice, responseMs) {
    question.revision += 1;
    return {
      key: uuid(),
      question: question.id,
      revision: question.revision,
      choice,
      response_ms: Math.max(0, Math.min(Math.round(responseMs), 86400000)),
      answered_at: Date.now() / 1000,
    };
  }
}
