/** A gRPC call of one message each way. */
import { GRPC } from '../grpc/status.ts';
import type { SideCallError } from './failure.ts';
import type { GrpcEvents, GrpcReply, GrpcStatus } from './grpc.ts';

/** Resolves with the status, and of an OK with the message that came before it. */
export class UnaryEvents implements GrpcEvents {
  private readonly resolve: (reply: GrpcReply) => void;
  private readonly reject: (error: SideCallError) => void;
  private response: Uint8Array | undefined;
  private isOne = true;

  constructor(resolve: (reply: GrpcReply) => void, reject: (error: SideCallError) => void) {
    this.resolve = resolve;
    this.reject = reject;
  }

  onMessage(message: Uint8Array): void {
    this.isOne &&= this.response === undefined;
    this.response = message;
  }

  onStatus(status: GrpcStatus): void {
    const { response, isOne } = this;
    if (status.status !== GRPC.OK) this.resolve({ ...status, response: undefined });
    else if (response !== undefined && isOne) this.resolve({ ...status, response });
    else {
      const message = response === undefined ? 'the response has no message' : 'the response has several messages';
      this.resolve({ ...status, status: GRPC.INTERNAL, message, response: undefined });
    }
  }

  onFailure(error: SideCallError): void {
    this.reject(error);
  }
}
