"""Tables in many languages, each with the encodings of its country from before Unicode, the usual one first."""

# ruff: noqa: RUF001 - they are the letters of other alphabets
from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Language:
    """Words of a language, with its own letters among them, and the encodings that have them."""

    encodings: tuple[str, ...]
    words: tuple[str, ...]


def _language(encodings: str, words: str) -> Language:
    return Language(tuple(encodings.split()), tuple(words.split()))


LANGUAGES: Final = {
    "french": _language(
        "cp1252 iso8859-15 mac-roman cp850",
        "François Hélène Jérôme Benoît Zoé Noël Müller Orléans Nîmes Béziers Évry Besançon Angoulême hôtel "
        "forêt élève garçon déjà août où être à très après château société générale livré reçu payé coût "
        "égalité près rivière bleue Montréal Québec père mère frère les des avec pour dans une rue de la paix "
        "avenue facture commande client",
    ),
    "german": _language(
        "cp1252 iso8859-15 mac-roman cp850 cp437",
        "Jürgen Müller Schröder Günther Köhler Jäger Weiß Groß Straße Köln München Nürnberg Düsseldorf Lübeck "
        "Zürich Österreich Bär Käse Brötchen grün für über können müssen Größe Stück Fräulein schön außen "
        "Bücher Höhe und der die das nicht mit Lieferung Rechnung Kunde Hauptstraße Bahnhof Bestellung "
        "Übergabe Äpfel Öl süß fünf zwölf",
    ),
    "spanish": _language(
        "cp1252 iso8859-15 mac-roman cp850",
        "José María Núñez Muñoz Peña Ibáñez González Rodríguez Sánchez Córdoba Málaga Cádiz León Ávila España "
        "señor año niño mañana corazón canción también está aquí después número calle teléfono dirección "
        "código peñón cigüeña pingüino los las para con una casa grande factura pedido cliente entrega más "
        "información según público",
    ),
    "portuguese": _language(
        "cp1252 iso8859-15 mac-roman cp850",
        "João Conceição Gonçalves Simões Brandão Assunção Guimarães São Maranhão Paraná Goiânia Brasília "
        "Florianópolis coração não ação função também você três português avó avô maçã pão mãe irmã número "
        "código endereço preço descrição observações para com uma casa fatura pedido cliente entrega "
        "município região até é está Luís",
    ),
    "italian": _language(
        "cp1252 mac-roman cp850",
        "Niccolò Nicolò Cantù Forlì Libertà Università città qualità perché è già più così lunedì martedì "
        "caffè società attività località novità quantità unità però può là giù sarà verrà via della "
        "repubblica piazza fattura ordine cliente consegna il lo gli con per una casa grande virtù età bontà "
        "comunità metà",
    ),
    "swedish": _language(
        "cp1252 cp850",
        "Björn Åsa Göran Märta Håkan Sjöberg Öberg Ångström Malmö Göteborg Västerås Örebro Jönköping Umeå "
        "Luleå är på och från gården vägen större något också köp försäljning räkning beställning Åkerström "
        "Sköld blå grön röd hög låg över under för att inte med det som till en ett kund gata storgatan",
    ),
    "danish": _language(
        "cp1252 cp850 cp865",
        "Søren Jørgen Åse Bjørn Kjær Nørgaard Østergaard Sørensen Jørgensen Århus Ålborg Køge Næstved Rødovre "
        "Ærø på være også før når blå grøn rød køb ordre kunde gade æble øl år ærlig størrelse bestået "
        "håndværk måned lørdag søndag og det som til en et med ikke af gammel kongevej",
    ),
    "polish": _language(
        "cp1250 iso8859-2 cp852",
        "Łukasz Michał Paweł Grażyna Bożena Wójcik Kowalczyk Wiśniewski Zając Łódź Kraków Gdańsk Poznań "
        "Wrocław Częstochowa Białystok Rzeszów Świdnica ulica źródło żółty książka święto będzie się jest że "
        "może już także miesiąc zamówienie sprzedaż ilość wartość dzień tydzień później pięć sześć dziesięć "
        "nie do na przez oraz który faktura",
    ),
    "czech": _language(
        "cp1250 iso8859-2 cp852",
        "Jiří Tomáš Lukáš Ondřej Zdeněk Dvořák Novotný Černý Procházka Růžička Němec Třebíč Plzeň Děčín Ústí "
        "Šumperk Břeclav Žďár náměstí ulice město krásný příliš žluťoučký kůň úpěl ďábelské ódy není který "
        "může také dnešní objednávka množství částka měsíc týden středa čtvrtek pátek neděle šest devět deset "
        "faktura zákazník dodání",
    ),
    "hungarian": _language(
        "cp1250 iso8859-2 cp852",
        "László István György Zoltán Sándor Szabó Kovács Tóth Varró Győr Pécs Székesfehérvár Kecskemét "
        "Nyíregyháza Eger Őszi hűtő tűz fűz erdő mező árvíztűrő tükörfúrógép könyv és egy hogy nem meg utca "
        "út tér kérem köszönöm szám mennyiség összeg rendelés ügyfél szállítás hét hónap év kedd szerda "
        "csütörtök péntek vasárnap őr idő nő",
    ),
    "croatian": _language(
        "cp1250 iso8859-2 cp852",
        "Željko Šime Đuro Čedomir Anić Kovačević Horvat Marić Đokić Šarić Žarko Čakovec Požega Šibenik Đakovo "
        "Varaždin Križevci ulica grad kuća više što također može sljedeći narudžba količina račun kupac "
        "isporuka četvrtak nedjelja šest devet žena čovjek rođen država tržište građanin i je u na za od koji "
        "nije biti sve kao",
    ),
    "turkish": _language(
        "cp1254 iso8859-9",
        "Ayşe Gökhan Çağlar Şükrü Işıl İbrahim Öztürk Yıldız Kılıç Şahin İstanbul Eskişehir Muğla Çanakkale "
        "Kütahya Ağrı Diyarbakır şehir çocuk güzel için değil nasıl ağaç öğretmen sipariş müşteri fatura "
        "teslim büyük küçük yüz beş altı dört gün yıl çarşamba perşembe cuma bir ve bu ile olarak sokak cadde "
        "mahallesi",
    ),
    "lithuanian": _language(
        "cp1257 iso8859-13",
        "Žygimantas Šarūnas Jūratė Rūta Ąžuolas Čiurlionis Kazlauskienė Petrauskas Panevėžys Šiauliai "
        "Mažeikiai Kėdainiai Utena gatvė miestas žmogus vaikas gražus būti yra kaip už iš dėl šis užsakymas "
        "kiekis sąskaita pirkėjas pristatymas mėnuo savaitė trečiadienis penktadienis šeši devyni dešimt ir "
        "ne su per tai bet taip jis",
    ),
    "russian": _language(
        "cp1251 koi8-r cp866 iso8859-5 mac-cyrillic",
        "Иван Пётр Сергей Анна Мария Смирнов Иванова Кузнецов Попова Соколов Москва Санкт Петербург Казань "
        "Новосибирск Екатеринбург улица город дом большой красивый заказ количество сумма покупатель доставка "
        "счёт месяц неделя понедельник среда пятница и в не на что как это по из для был его она они только "
        "после также когда",
    ),
    "ukrainian": _language(
        "cp1251 koi8-u",
        "Андрій Олександр Юлія Тетяна Шевченко Коваленко Бондаренко Київ Львів Харків Одеса Дніпро Чернівці "
        "Івано вулиця місто будинок великий гарний замовлення кількість сума покупець доставка рахунок місяць "
        "тиждень понеділок середа і в не на що як це з для був його вона вони тільки після також коли їхній є "
        "ґанок",
    ),
    "greek": _language(
        "cp1253 iso8859-7",
        "Γιώργος Νίκος Μαρία Ελένη Άννα Παπαδόπουλος Οικονόμου Αθήνα Θεσσαλονίκη Πάτρα Ηράκλειο Λάρισα Έδεσσα "
        "Άρτα οδός πόλη σπίτι μεγάλο όμορφος παραγγελία ποσότητα σύνολο πελάτης παράδοση τιμολόγιο μήνας "
        "εβδομάδα Δευτέρα και το να του η της με που δεν από για είναι στο μια αλλά πολύ όταν μετά επίσης",
    ),
    "hebrew": _language(
        "cp1255",
        "משה דוד שרה רחל יוסף כהן לוי מזרחי ירושלים חיפה אשדוד נתניה רחוב עיר בית גדול יפה הזמנה כמות סכום "
        "לקוח משלוח חשבונית חודש שבוע ראשון שני שלישי רביעי של את על לא הוא היא עם כי אם גם אבל יותר אחרי "
        "כאשר רק",
    ),
    "arabic": _language(
        "cp1256 iso8859-6",
        "محمد أحمد فاطمة خالد مريم عبدالله القاهرة الرياض دبي بيروت دمشق بغداد شارع مدينة بيت كبير جميل طلب "
        "كمية مبلغ عميل توصيل فاتورة شهر أسبوع الأحد الاثنين الثلاثاء في من على إلى هذا التي الذي كان عن مع "
        "أن لا بعد أيضا عندما",
    ),
    "thai": _language(
        "cp874",
        "สมชาย สมหญิง ประเสริฐ วิชัย กรุงเทพ เชียงใหม่ ภูเก็ต ขอนแก่น ถนน เมือง บ้าน ใหญ่ สวย สั่งซื้อ จำนวน "
        "ยอดรวม ลูกค้า จัดส่ง ใบแจ้งหนี้ เดือน สัปดาห์ วันจันทร์ และ ที่ ใน ของ ไม่ เป็น มี ได้ จะ ให้ กับ "
        "จาก หลังจาก ด้วย",
    ),
    "japanese": _language(
        "cp932 euc_jp",
        "田中さくら 鈴木一郎 佐藤はなこ 高橋ゆうき 東京都しぶや区 大阪市きた区 京都 ください です ました "
        "という について これから ありがとうございます お客様 ご注文の品 数量 合計 配達する "
        "請求書 月曜日 カメラ テレビ コンピュータ サービス データ ファイル おはようございます できない "
        "と思います 新しい製品を 見つけて みんなの 日本語を",
    ),
    "korean": _language(
        "cp949",
        "김철수 이영희 박민수 최지은 정다은 서울특별시 부산광역시 대구 인천 거리 도시 집 크다 아름답다 주문 "
        "수량 합계 고객 배송 청구서 월요일 화요일 그리고 하지만 있습니다 없습니다 "
        "합니다 에서 으로 까지 부터 한국어를 새로운 제품 안녕하세요",
    ),
    "chinese": _language(
        "gb18030",
        "王小明 李华 张伟是 刘洋在 陈静 北京市中心 上海有限公司 广州 深圳 一条街道 这是 中国的 城市 房子 很大 "
        "学习 订单 数量 总额 客户 送货 发票 星期一 我们在 他们是 没有 可以 因为 "
        "所以 现在 时间 学生 中文 新的产品 谢谢 已经收到 一定要",
    ),
    "taiwanese": _language(
        "cp950",
        "王小明 李華 張偉是 劉洋在 陳靜 臺北市中正區 高雄有限公司 臺中 新竹 一條街道 這是 中華民國 城市 房子 "
        "很大 學習 訂單 數量 總額 客戶 送貨 發票 星期一 我們在 他們是 沒有 可以 "
        "因為 所以 現在 時間 學生 中文 新的產品 謝謝 已經收到",
    ),
}


def table(language: str, rows: int) -> str:
    """Return a CSV text of so many rows, the same every time: a name, a place, a remark of a few words."""
    words = LANGUAGES[language].words
    chosen = random.Random(language)
    lines = ["id,name,city,remark,amount"]
    for row in range(rows):
        name, city, *remark = chosen.choices(words, k=7)
        lines.append(f"{row},{name},{city},{' '.join(remark)},{chosen.randrange(100000) / 100:.2f}")
    return "\r\n".join(lines) + "\r\n"
