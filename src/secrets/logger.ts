/** What is logged: pino's shape. */
export interface SecretsLogger {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
}

export const silentLogger: SecretsLogger = { info() {}, warn() {} };
