// Runs in any browser, unlike the rest, which it starts where it can run: old browsers leave modules out without a word.
(function () {
  // A module that uses one SIMD instruction: browsers since about 2021 (Safari since 16.4) accept it.
  var simd = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  var able = "noModule" in HTMLScriptElement.prototype && typeof WebAssembly === "object" &&
    WebAssembly.validate(new Uint8Array(simd)) && typeof createImageBitmap === "function";
  var status = document.getElementById("status");
  if (able) {
    var script = document.createElement("script");
    script.type = "module";
    script.src = "page.js";
    document.head.appendChild(script);
    status.textContent = "Loading the model …";
  } else {
    status.textContent = "This browser is too old to run the model. A current Chrome, Edge, Firefox or Safari does.";
    status.className = "problem";
  }
}());
