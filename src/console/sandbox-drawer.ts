// One sandbox: its mounts, whether proxies are ready for it, and the environment to paste. Its token is shown once, when it
// is made.

import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { call, messageOf, queryOf } from "./api.ts";
import type { Page, Sandbox, SandboxWithToken, Secret, TrafficPage } from "./api-types.ts";
import { ago, dateTime, plural } from "./format.ts";
import { icon } from "./icons.ts";
import { debounced, failure, fieldsOf, outcomeBadge, warning } from "./parts.ts";
import { closeOnBackdrop } from "./secret-drawer.ts";
import { copyText, notify } from "./toast.ts";
import { View } from "./view.ts";

interface Mount {
  readonly env: string;
  readonly secret: string;
}

interface Readiness {
  readonly ready: boolean;
  readonly version: string;
  readonly proxies: readonly {
    readonly id: string;
    readonly name: string;
    readonly seenAt: string;
    readonly state: "loaded" | "on-demand" | "behind";
    /** Null: it does not tell of this sandbox. */
    readonly connections: number | null;
  }[];
}

const stateWords = {
  loaded: "has its present secrets",
  "on-demand": "fetches them at its next request",
  behind: "has not heard of its last change",
} as const;

const READY_MS = 3_000;

class SandboxDrawer extends View {
  static override properties = {
    sandboxId: { attribute: false },
    mayWrite: { attribute: false },
    mayDelete: { attribute: false },
  };
  /** `"new"` for one to be made. */
  declare sandboxId: string;
  declare mayWrite: boolean;
  declare mayDelete: boolean;

  #sandbox: Sandbox | undefined;
  #mounts: readonly Mount[] = [];
  #names: readonly string[] = [];
  #readiness: Readiness | undefined;
  #traffic: TrafficPage | undefined;
  /** With the token, right after it was made. */
  #environment: Readonly<Record<string, string>> | undefined;
  #failure: string | undefined;
  #isBusy = false;
  #isDeleting = false;
  #timer: number | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#findNames("");
    if (this.sandboxId !== "new") void this.#load();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
  }

  protected override firstUpdated(_: PropertyValues): void {
    this.querySelector("dialog")?.showModal();
  }

  protected override render(): TemplateResult {
    const isNew = this.sandboxId === "new";
    return html`<dialog class="drawer" aria-labelledby="drawer-title" @close=${() => this.dispatchEvent(new CustomEvent("closed"))}
      @click=${closeOnBackdrop}>
      <div class="drawer-body">
        <header class="drawer-head"><h2 id="drawer-title">${isNew ? "New sandbox" : (this.#sandbox?.name ?? "…")}</h2>
          <button type="button" class="icon-button" aria-label="Close" @click=${() => this.querySelector("dialog")?.close()}>${icon("close")}</button></header>
        ${failure(this.#failure)}
        <datalist id="secret-names">${this.#names.map((name) => html`<option value=${name}></option>`)}</datalist>
        ${isNew ? this.#renderNew() : this.#sandbox === undefined ? nothing : this.#renderSandbox(this.#sandbox)}
      </div>
    </dialog>`;
  }

  #renderNew(): TemplateResult {
    return html`<form @submit=${(event: SubmitEvent) => void this.#create(event)}>
      <label for="sandbox-name">Name <span class="faint">optional</span></label>
      <input id="sandbox-name" name="name" maxlength="255" autocomplete="off" spellcheck="false" autofocus />
      <label for="sandbox-expiry">Expires after</label>
      <select id="sandbox-expiry" name="ttl"><option value="0">never</option><option value="60">an hour</option>
        <option value="480">8 hours</option><option value="1440">a day</option><option value="10080">a week</option></select>
      ${this.#mountFields()}
      <footer class="drawer-foot"><button class="primary" ?disabled=${this.#isBusy}>Create sandbox</button>
        <button type="button" @click=${() => this.querySelector("dialog")?.close()}>Cancel</button></footer>
    </form>`;
  }

  #renderSandbox(sandbox: Sandbox): TemplateResult {
    return html`
      <p class="help">${sandbox.id} · created ${ago(sandbox.createdAt)}${
        sandbox.expiresAt === null
          ? nothing
          : html` · expires <span title=${dateTime(sandbox.expiresAt)}>${ago(sandbox.expiresAt)}</span>`
      }</p>
      <section><h3>Secrets</h3>
        ${
          this.mayWrite
            ? html`<form @submit=${(event: SubmitEvent) => void this.#saveMounts(event)}>${this.#mountFields()}
                <p><button class="primary" ?disabled=${this.#isBusy}>Save secrets</button></p></form>`
            : html`<ul class="plain-list">${this.#mounts.map(({ env, secret }) => html`<li><code>${env}</code> is ${secret}</li>`)}</ul>`
        }</section>
      <section><h3>Readiness and connections</h3>${this.#renderReadiness()}</section>
      <section><h3>Environment</h3>${this.#renderEnvironment(sandbox)}</section>
      <section><h3>Latest traffic</h3>${this.#renderTraffic(sandbox)}</section>
      ${this.mayDelete ? this.#renderDelete(sandbox) : nothing}`;
  }

  #mountFields(): TemplateResult {
    return html`<fieldset class="mounts"><legend class="sr">Mounted secrets</legend>
      ${this.#mounts.map(
        (mount, index) => html`<div class="mount">
          <input aria-label="Variable ${index + 1}" placeholder="OPENAI_API_KEY" .value=${mount.env} required pattern="[A-Za-z_][A-Za-z0-9_]*"
            spellcheck="false" autocomplete="off" @input=${(event: InputEvent) => this.#edit(index, { env: textOf(event) })} />
          <span aria-hidden="true">=</span>
          <input aria-label="Secret ${index + 1}" placeholder="name of a secret" list="secret-names" .value=${mount.secret} required
            spellcheck="false" autocomplete="off" @input=${(event: InputEvent) => {
              this.#edit(index, { secret: textOf(event) });
              this.#suggest(textOf(event));
            }} />
          <button type="button" class="icon-button" aria-label="Detach ${mount.env === "" ? "this one" : mount.env}" @click=${() => {
            this.#mounts = this.#mounts.filter((_, at) => at !== index);
            this.requestUpdate();
          }}>${icon("close")}</button>
        </div>`,
      )}
      <button type="button" class="quiet" @click=${() => {
        this.#mounts = [...this.#mounts, { env: "", secret: "" }];
        this.requestUpdate();
      }}>${icon("plus")} Attach a secret</button>
    </fieldset>`;
  }

  #renderReadiness(): TemplateResult {
    const readiness = this.#readiness;
    if (readiness === undefined) return html`<p class="faint">…</p>`;
    if (readiness.proxies.length === 0)
      return warning("No proxy has reported to this API lately, so nothing is substituted for it now.");
    return html`<p><span class="badge ${readiness.ready ? "is-good" : "is-warning"}">${readiness.ready ? "Ready" : "Not ready everywhere"}</span></p>
      <ul class="plain-list">${readiness.proxies.map(
        (proxy) =>
          html`<li><strong>${proxy.name}</strong> ${stateWords[proxy.state]} <span class="faint">${
            proxy.connections === null ? "connections not told" : `${plural(proxy.connections, "connection")} open`
          }, heard ${ago(proxy.seenAt)}</span></li>`,
      )}</ul>`;
  }

  #renderEnvironment(sandbox: Sandbox): TemplateResult {
    const shown = this.#environment ?? sandbox.env;
    const lines = Object.entries(shown).map(([name, value]) => `export ${name}=${quoted(value)}`);
    return html`
      ${
        this.#environment === undefined
          ? html`<p class="help">The placeholders. The proxy variables hold the sandbox's token, which is shown only when it is made.</p>`
          : warning("This has the sandbox's token and is shown this once. Copy it now.")
      }
      <pre class="environment" tabindex="0" aria-label="Environment">${lines.length === 0 ? "# nothing is mounted" : lines.join("\n")}</pre>
      <p class="actions"><button type="button" @click=${() => void copyText(`${lines.join("\n")}\n`, "Environment")}>${icon("copy")} Copy</button>
        ${
          this.mayWrite
            ? html`<button type="button" ?disabled=${this.#isBusy} @click=${() => void this.#makeToken()}>Make a new token</button>`
            : nothing
        }</p>
      ${this.mayWrite && this.#environment === undefined ? html`<p class="help">With a new token the old one stops working.</p>` : nothing}`;
  }

  #renderTraffic(sandbox: Sandbox): TemplateResult {
    const traffic = this.#traffic;
    if (traffic === undefined) return html`<p class="faint">This API key may not see traffic, or none was loaded.</p>`;
    if (traffic.items.length === 0) return html`<p class="faint">None since ${dateTime(traffic.since)}.</p>`;
    return html`<ul class="plain-list traffic-list">${traffic.items.map(
      (
        item,
      ) => html`<li>${outcomeBadge(item.outcome)} <span>${item.event.method ?? item.event.type} ${item.event.authority ?? ""}</span>
        <span class="faint">${ago(item.event.time)}</span></li>`,
    )}</ul>
      <p><a href="#/traffic?sandbox=${encodeURIComponent(sandbox.id)}">All of it</a></p>`;
  }

  #renderDelete(sandbox: Sandbox): TemplateResult {
    if (!this.#isDeleting) {
      return html`<footer class="drawer-foot"><button type="button" class="danger" @click=${() => this.#askDelete(true)}>Delete sandbox…</button></footer>`;
    }
    return html`<section class="danger-zone" role="group" aria-labelledby="delete-title"><h3 id="delete-title">Delete ${sandbox.name}?</h3>
      <ul><li>Its token stops working: every request through the proxy is answered 407.</li>
        <li>${this.#mounts.length === 0 ? "It has no secrets." : "Its secrets stay; only this sandbox loses them."}</li></ul>
      <p class="actions"><button type="button" class="danger" ?disabled=${this.#isBusy} @click=${() => void this.#delete(sandbox)}>Delete ${sandbox.name}</button>
        <button type="button" @click=${() => this.#askDelete(false)}>Keep it</button></p></section>`;
  }

  readonly #suggest = debounced((text: string) => void this.#findNames(text), 200);

  async #findNames(part: string): Promise<void> {
    try {
      const page = await call<Page<Secret>>(
        "GET",
        `/console/secrets${queryOf({ name: part, sort: "name", order: "asc", limit: 50 })}`,
      );
      this.#names = page.items.map(({ name }) => name);
      this.requestUpdate();
    } catch {
      // Only a help for typing.
    }
  }

  #edit(index: number, change: Partial<Mount>): void {
    this.#mounts = this.#mounts.map((mount, at) => (at === index ? { ...mount, ...change } : mount));
  }

  async #load(): Promise<void> {
    const id = encodeURIComponent(this.sandboxId);
    try {
      this.#take(await call<Sandbox>("GET", `/sandbox/${id}`));
    } catch (error) {
      this.#failure = messageOf(error);
      this.requestUpdate();
      return;
    }
    this.#traffic = await call<TrafficPage>(
      "GET",
      `/traffic${queryOf({ sandbox: this.#sandbox?.id, limit: 6 })}`,
    ).catch(() => undefined);
    this.requestUpdate();
    void this.#watchReadiness();
  }

  async #watchReadiness(): Promise<void> {
    clearTimeout(this.#timer);
    this.#readiness = await call<Readiness>("GET", `/sandbox/${encodeURIComponent(this.sandboxId)}/ready`).catch(
      () => undefined,
    );
    this.requestUpdate();
    if (this.isConnected) this.#timer = setTimeout(() => void this.#watchReadiness(), READY_MS);
  }

  #take(sandbox: Sandbox): void {
    this.#sandbox = sandbox;
    this.#mounts = sandbox.secrets.flatMap((mount) => Object.entries(mount).map(([env, secret]) => ({ env, secret })));
    this.requestUpdate();
  }

  async #create(event: SubmitEvent): Promise<void> {
    const { name = "", ttl } = fieldsOf(event);
    await this.#work(async () => {
      const body = { ...(name === "" ? {} : { name }), ttlMinutes: Number(ttl), secrets: this.#mountList() };
      const made = await call<SandboxWithToken>("POST", "/sandbox", body);
      this.sandboxId = made.id;
      this.#environment = made.egress.env;
      this.#take(made);
      notify("Sandbox created");
      this.#changed();
      void this.#load();
    });
  }

  async #saveMounts(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    await this.#work(async () => {
      const path = `/sandbox/${encodeURIComponent(this.sandboxId)}/secrets`;
      this.#take(await call<Sandbox>("PUT", path, { secrets: this.#mountList() }));
      this.#environment = undefined;
      notify("Secrets saved; proxies are told at once");
      this.#changed();
      void this.#watchReadiness();
    });
  }

  async #makeToken(): Promise<void> {
    await this.#work(async () => {
      const made = await call<SandboxWithToken>("POST", `/sandbox/${encodeURIComponent(this.sandboxId)}/token`);
      this.#environment = made.egress.env;
      notify("New token made; the old one stops working");
    });
  }

  async #delete(sandbox: Sandbox): Promise<void> {
    await this.#work(async () => {
      await call("DELETE", `/sandbox/${encodeURIComponent(sandbox.id)}`);
      notify(`${sandbox.name} deleted`);
      this.#changed();
      this.querySelector("dialog")?.close();
    });
  }

  async #work(work: () => Promise<void>): Promise<void> {
    this.#isBusy = true;
    this.#failure = undefined;
    this.requestUpdate();
    try {
      await work();
    } catch (error) {
      this.#failure = messageOf(error);
    }
    this.#isBusy = false;
    this.requestUpdate();
  }

  #mountList(): readonly Readonly<Record<string, string>>[] {
    return this.#mounts.map(({ env, secret }) => ({ [env]: secret }));
  }

  #askDelete(isDeleting: boolean): void {
    this.#isDeleting = isDeleting;
    this.requestUpdate();
    void this.updateComplete.then(() =>
      this.querySelector<HTMLElement>(".danger-zone")?.scrollIntoView({ block: "nearest" }),
    );
  }

  #changed(): void {
    this.dispatchEvent(new CustomEvent("changed"));
  }
}

function textOf(event: Event): string {
  return (event.target as HTMLInputElement).value;
}

/** For a POSIX shell. */
function quoted(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

customElements.define("ks-sandbox-drawer", SandboxDrawer);
