/**
 * A message on its way through the filters of one direction, where it cannot simply pass: a filter waits for a promise or
 * for the body, or one sees data. The head goes ahead from filter to filter; data follows behind it, piece by piece and in
 * order. What waits is bounded: the sender is paused, or the message is refused.
 */
import type { HeaderMap } from '../message/header-map.ts';
import type { LocalReply } from '../request/request-context.ts';
import type { Filters } from './chain.ts';
import type { BufferBody, BufferedBody, HeadAnswer, HttpFilter, Now } from './hooks.ts';
import type { Stopped } from './permit.ts';

const EMPTY = new Uint8Array(0);

/** What a message flows between, and the hooks of its direction. */
export interface FlowOwner<Passed> {
  /** Shows the head to the filters from this position on. */
  heads(from: number): Passed | Stopped;
  /** Shows the head to one filter again. @param body what was buffered for it */
  again(filter: HttpFilter, body: BufferedBody): Now<HeadAnswer>;
  /** The hook for one piece of the message; undefined where the filter has none for it. */
  hook(filter: HttpFilter, item: FlowItem): Now<undefined | Uint8Array | LocalReply>;
  /** All filters let the head pass; data and trailers follow. */
  passed(result: Passed): void;
  /** @returns false: wait for `unblock` */
  data(bytes: Uint8Array, end: boolean): boolean;
  trailers(trailers: HeaderMap): void;
  /** A filter answers; nothing follows. */
  reply(made: LocalReply): void;
  /** The body is longer than a filter's buffer may be; nothing follows. */
  tooLong(): void;
  /** A filter threw, or answered what it must not; nothing follows. */
  failed(error: unknown): void;
  /** A filter waits for the body: whatever keeps the sender from sending it must end. */
  wantsBody(): void;
  pause(): void;
  resume(): void;
}

/** Data or trailers. */
export interface FlowItem {
  bytes: Uint8Array;
  readonly end: boolean;
  readonly trailers: HeaderMap | undefined;
}

interface QueuedItem extends FlowItem {
  /** The next filter that sees it. */
  from: number;
}

export class MessageFlow<Passed> {
  private readonly filters: Filters;
  private readonly owner: FlowOwner<Passed>;
  private readonly limit: number;
  /** The filter whose head hook has not let the head pass; the number of filters once all have. */
  private at = 0;
  private queue: QueuedItem[] = [];
  /** Items before this one are at `at`. */
  private next = 0;
  private bytes = 0;
  private buffering: BufferBody | undefined;
  /** A data hook's promise is pending. */
  private busy = false;
  private pumping = false;
  /** The receiver takes no more for now. */
  private blocked = false;
  private paused = false;
  private over = false;
  /** No further data comes. */
  private ended: boolean;
  /** By filter: its data hook may give other bytes. */
  private rewriting: boolean[] | undefined;
  /** A filter was given the whole body, which now has a length. */
  buffered = false;
  /** The body is another one than came, and whole. */
  replaced = false;

  /**
   * @param limit bytes that may wait before the sender is paused
   * @param ended the message has no body, or none that ends (a tunnel): a filter that waits for it is asked again at once
   */
  constructor(filters: Filters, owner: FlowOwner<Passed>, limit: number, ended: boolean) {
    this.filters = filters;
    this.owner = owner;
    this.limit = limit;
    this.ended = ended;
  }

  /** @param result of `owner.heads(0)` */
  start(result: Passed | Stopped): void {
    this.guard(() => this.follow(result));
  }

  /** A filter may give other bytes than came. */
  get rewrites(): boolean {
    return this.rewriting !== undefined;
  }

  /** Bytes that wait here. */
  get size(): number {
    return this.bytes;
  }

  /** The receiver takes no more for now. */
  get isBlocked(): boolean {
    return this.blocked;
  }

  /** The head has passed, and nothing waits here. */
  get empty(): boolean {
    return this.at === this.filters.length && this.queue.length === 0 && !this.busy;
  }

  /**
   * @param bytes valid during the call alone
   * @returns false: wait for `owner.resume`
   */
  onData(bytes: Uint8Array, end: boolean): boolean {
    this.push(new Uint8Array(bytes), end, undefined);
    return !this.paused;
  }

  onTrailers(trailers: HeaderMap): void {
    this.push(EMPTY, true, trailers);
  }

  /** The receiver takes no more until `unblock`. */
  block(): void {
    this.blocked = true;
  }

  unblock(): void {
    this.blocked = false;
    this.pump();
  }

  /** Nothing is asked or passed on any more; answers to come are ignored. */
  cancel(): void {
    this.over = true;
    this.queue = [];
  }

  private push(bytes: Uint8Array, end: boolean, trailers: HeaderMap | undefined): void {
    if (this.over) return;
    if (end) this.ended = true;
    this.bytes += bytes.length;
    this.queue.push({ bytes, end, trailers, from: 0 });
    this.pump();
  }

  private follow(result: Passed | Stopped): void {
    if (!isStopped(result)) {
      this.moveTo(this.filters.length);
      this.owner.passed(result);
      this.pump();
      return;
    }
    this.moveTo(result.at);
    const { answer } = result;
    if (answer instanceof Promise) this.wait(answer);
    else this.answered(answer);
  }

  private moveTo(at: number): void {
    this.at = at;
    this.next = 0;
  }

  private wait(answer: Promise<HeadAnswer>): void {
    answer.then(
      (settled) => {
        if (!this.over) this.guard(() => this.answered(settled));
      },
      (error: unknown) => this.fail(error),
    );
    // What is here already has its limit, too.
    this.pump();
  }

  /** What the filter at `at` says to the head. */
  private answered(answer: HeadAnswer): void {
    if (answer === undefined) this.proceed();
    else if ('status' in answer) this.reply(answer);
    else if ('buffer' in answer) this.buffer(answer);
    else if ('replaceBody' in answer) this.replace(answer.replaceBody);
    else {
      this.rewriting ??= [];
      this.rewriting[this.at] = true;
      this.proceed();
    }
  }

  private proceed(): void {
    this.follow(this.owner.heads(this.at + 1));
  }

  private buffer(wanted: BufferBody): void {
    this.buffering = wanted;
    if (!this.ended) this.owner.wantsBody();
    this.pump();
  }

  /** Whether what was waited for is there. */
  private checkBuffer(): void {
    const { buffering: wanted, bytes } = this;
    if (!wanted || this.over || this.busy || this.next < this.queue.length) return;
    if (wanted.whenFull === 'reject' && bytes > wanted.buffer) {
      this.over = true;
      this.owner.tooLong();
    } else if (this.ended || (wanted.whenFull === 'partial' && bytes >= wanted.buffer)) this.askAgain(wanted);
  }

  private askAgain({ keepsFraming = false }: BufferBody): void {
    this.buffering = undefined;
    const chunks = this.queue.flatMap(({ bytes }) => (bytes.length > 0 ? [bytes] : []));
    if (this.ended && !keepsFraming) this.buffered = true;
    const body: BufferedBody = { chunks, bytes: this.bytes, complete: this.ended };
    const answer = this.owner.again(this.filters[this.at]!, body);
    if (answer instanceof Promise) this.wait(answer.then((settled) => this.furtherAnswer(settled)));
    else this.answered(this.furtherAnswer(answer));
  }

  /** A filter that has what it waited for, and waits for no more than that, lets the message pass. */
  private furtherAnswer(answer: HeadAnswer): HeadAnswer {
    if (answer === undefined || !('buffer' in answer)) return answer;
    return this.ended || answer.buffer <= this.bytes ? undefined : answer;
  }

  private replace(bytes: Uint8Array): void {
    if (!this.ended) throw new Error(`${this.filters[this.at]!.name}: replaces a body that it has not buffered whole`);
    this.queue = [{ bytes, end: true, trailers: undefined, from: this.at + 1 }];
    this.bytes = bytes.length;
    this.replaced = true;
    this.proceed();
  }

  /** Shows each item to the filters that the head has passed, and passes on what all have seen. */
  pump(): void {
    if (this.pumping) return;
    if (this.queue.length === 0 && this.buffering === undefined) {
      this.control();
      return;
    }
    this.pumping = true;
    this.guard(() => {
      while (!this.over && !this.busy && this.next < this.queue.length && this.step(this.queue[this.next]!));
    });
    this.pumping = false;
    if (this.over) return;
    this.guard(() => this.checkBuffer());
    this.control();
  }

  /** @returns whether the next item may follow */
  private step(item: QueuedItem): boolean {
    while (item.from < this.at) {
      const answer = this.owner.hook(this.filters[item.from]!, item);
      if (answer instanceof Promise) {
        this.waitFor(item, answer);
        return false;
      }
      this.apply(item, answer);
      if (this.over) return false;
      // Bytes came in front of it.
      if (this.queue[this.next] !== item) return true;
    }
    if (this.at < this.filters.length) {
      this.next++;
      return true;
    }
    return this.deliver(item);
  }

  private waitFor(item: QueuedItem, answer: Promise<undefined | Uint8Array | LocalReply>): void {
    this.busy = true;
    answer.then(
      (settled) => {
        if (this.over) return;
        this.busy = false;
        this.guard(() => this.apply(item, settled));
        this.pump();
      },
      (error: unknown) => this.fail(error),
    );
  }

  private apply(item: QueuedItem, answer: undefined | Uint8Array | LocalReply): void {
    if (answer instanceof Uint8Array) {
      if (!this.rewriting?.[item.from])
        throw new Error(`${this.filters[item.from]!.name}: gives other bytes without having answered REWRITE_BODY`);
      if (item.trailers) this.insert(answer, item.from + 1);
      else {
        this.bytes += answer.length - item.bytes.length;
        item.bytes = answer;
      }
    } else if (answer !== undefined) {
      this.reply(answer);
      return;
    }
    item.from++;
  }

  /** The rest of a rewritten body, in front of the trailers that are shown now. @param from the next filter that sees it */
  private insert(bytes: Uint8Array, from: number): void {
    this.bytes += bytes.length;
    this.queue.splice(this.next, 0, { bytes, end: false, trailers: undefined, from });
  }

  private deliver(item: QueuedItem): boolean {
    if (this.blocked) return false;
    this.queue.shift();
    this.bytes -= item.bytes.length;
    const { trailers } = item;
    // Trailers that a filter has emptied are an end.
    if (trailers && trailers.size > 0) this.owner.trailers(trailers);
    else if ((item.bytes.length > 0 || item.end) && !this.owner.data(item.bytes, item.end)) this.blocked = true;
    return true;
  }

  /** Pauses the sender while enough waits here. */
  private control(): void {
    const full = this.bytes > 0 && this.bytes >= this.limitNow();
    if (full === this.paused || this.over) return;
    this.paused = full;
    if (full) this.owner.pause();
    else this.owner.resume();
  }

  private limitNow(): number {
    const { buffering } = this;
    // What a data hook keeps waiting is not what was requested.
    if (!buffering || this.busy || this.next < this.queue.length) return this.limit;
    // A body that is too long is refused instead.
    return buffering.whenFull === 'reject' ? Number.POSITIVE_INFINITY : buffering.buffer;
  }

  private reply(made: LocalReply): void {
    this.over = true;
    this.owner.reply(made);
  }

  private guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (this.over) return;
    this.over = true;
    this.owner.failed(error);
  }
}

function isStopped(result: unknown): result is Stopped {
  return typeof result === 'object' && result !== null && 'answer' in result;
}
