/** `not-allowed`: the machine has not the identity of the group; `conflict`: another machine, or a resource, is in the way. */
export type RegistrationErrorCode = 'not-allowed' | 'conflict';

/** The machine is not registered, and its session not opened. One line, with the remedy. */
export class RegistrationError extends Error {
  override name = 'RegistrationError';
  readonly code: RegistrationErrorCode;
  constructor(code: RegistrationErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
